dnl rcptd as a socket map for Sendmail 8.17 and later, no filter: lines for sendmail.mc, before the first
dnl MAILER line. rcptd's side is in virtuser.rcptd.conf.
dnl
dnl Sendmail replaces an alias by its account before it looks that up. The local mailer keeps flag w, so
dnl Sendmail itself rejects recipients that are neither.
FEATURE(`virtusertable', `socket inet:2224@127.0.0.1')dnl
dnl The domains in which Sendmail asks, one line for each.
VIRTUSER_DOMAIN(`example.com')dnl

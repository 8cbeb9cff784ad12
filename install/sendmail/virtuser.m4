dnl rcptd as a socket map for Sendmail 8.17 and later, no filter: lines for sendmail.mc, before the first
dnl MAILER line. rcptd's side is in virtuser.rcptd.conf.
dnl
dnl An alias is replaced by its account before Sendmail looks whether that is there. The local mailer keeps
dnl flag w, so Sendmail itself refuses who is neither.
FEATURE(`virtusertable', `socket inet:2224@127.0.0.1')dnl
dnl The domains in which it asks; all of them, one line for each.
VIRTUSER_DOMAIN(`example.com')dnl

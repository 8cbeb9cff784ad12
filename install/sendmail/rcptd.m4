dnl rcptd for Sendmail 8.17 and later: lines for sendmail.mc, before the first MAILER line. rcptd's side is in
dnl filter.rcptd.conf.
dnl
dnl F=T: while rcptd does not answer, Sendmail asks clients to try again. Without it an alias would pass
dnl unresolved and, if rcptd died in the middle of its changes, a recipient would be lost. It must be the last
dnl filter that may reject a recipient: it does not see rejections by later ones.
INPUT_MAIL_FILTER(`rcptd', `S=inet:3047@127.0.0.1, F=T, T=C:10s;S:10s;R:10s;E:30s')dnl
dnl Sendmail looks up a local recipient before it asks a filter, so that an alias would never reach rcptd.
dnl Without flag w it does not; rcptd then rejects recipients that do not exist (see vrfy.mc). This affects
dnl each host of class w: name all of them in domains of rcptd.conf (see filter.rcptd.conf), or mail to
dnl unknown names there bounces.
MODIFY_MAILER_FLAGS(`LOCAL', `-w')dnl

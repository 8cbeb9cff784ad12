dnl rcptd for Sendmail 8.17 and later: lines for sendmail.mc, before the first MAILER line. rcptd's side is in
dnl filter.rcptd.conf.
dnl
dnl F=T: while rcptd does not answer, clients are told to come back. Without it an alias would pass
dnl unresolved and, if rcptd died in the middle of its changes, a recipient would be lost. Let it be the
dnl last filter that may refuse a recipient: it is not told what those behind it refuse.
INPUT_MAIL_FILTER(`rcptd', `S=inet:3047@127.0.0.1, F=T, T=C:10s;S:10s;R:10s;E:30s')dnl
dnl Sendmail looks a local recipient up before it asks a filter, so that an alias would never reach
dnl rcptd. Without flag w it does not; rcptd then refuses those who do not exist (see vrfy.mc). That is so at each
dnl host of class w: name all of them in domains of rcptd.conf (see filter.rcptd.conf), or mail to nobody there bounces.
MODIFY_MAILER_FLAGS(`LOCAL', `-w')dnl

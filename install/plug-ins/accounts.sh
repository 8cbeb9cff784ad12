#!/bin/sh
# A plug-in of rcptd: the accounts are the lines of a file, such as foo@example.com.
#
# source = "exec:/usr/local/lib/rcptd/accounts.sh /etc/rcptd/accounts"
#
# Replace the file by renaming: it is read again for each question.
read -r _ || exit # the hello of rcptd
echo "rcptd-plugin 1 accounts.sh"
while IFS=' ' read -r number word address; do
  if [ "$word" != exists ]; then
    echo "$number tempfail unknown question"
  elif ! [ -s "$1" ]; then
    echo "$number tempfail no accounts"
  else
    grep -qxF -e "$address" "$1"
    case $? in
      0) echo "$number found" ;;
      1) echo "$number notfound" ;;
      *) echo "$number tempfail the accounts cannot be read" ;;
    esac
  fi
done

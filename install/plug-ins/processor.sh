#!/bin/sh
# A plug-in of rcptd before and after the rules: joe is called foo now, and bar is away.
#
# script = "exec:/usr/local/lib/rcptd/processor.sh"
read -r _ || exit # the hello of rcptd
echo "rcptd-plugin 1 processor.sh"
while IFS=' ' read -r number word address; do
  case $word/$address in
    preprocess/joe-*) echo "$number use foo-${address#joe-}" ;;
    postprocess/bar@*) echo "$number use alice@${address#bar@}" ;;
    preprocess/* | postprocess/*) echo "$number same" ;;
    *) echo "$number tempfail unknown question" ;;
  esac
done

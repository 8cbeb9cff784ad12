#!/usr/bin/env python3
"""A plug-in of rcptd before and after the rules. The two functions may be those of a PROCESSOR module of trualias.

script = "exec:/usr/local/lib/rcptd/processor.py"
"""
import sys


def preprocess(alias, domain):  # joe is called foo now: aliases of joe are aliases of foo
    return ("foo-" + alias[4:] if alias.startswith("joe-") else alias), domain


def postprocess(account, domain):  # bar is away: alice gets the mail
    return ("alice" if account == "bar" else account), domain


sys.stdin.readline()  # the hello of rcptd
print("rcptd-plugin 1 processor.py", flush=True)
for line in sys.stdin:
    number, word, address = line.rstrip("\n").split(" ", 2)
    try:
        function = {"preprocess": preprocess, "postprocess": postprocess}[word]
        name, domain = function(*address.rsplit("@", 1))
        print(number, f"use {name}@{domain}" if name else "noalias", flush=True)
    except Exception as error:
        print(number, "tempfail", repr(error), flush=True)

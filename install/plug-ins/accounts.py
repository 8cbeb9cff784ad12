#!/usr/bin/env python3
"""A plug-in of rcptd: the accounts are the lines of a file, such as foo@example.com.

source = "exec:/usr/local/lib/rcptd/accounts.py /etc/rcptd/accounts"
With a second argument it listens at that socket: source = "unix:/run/accounts.sock"
Replace the file by renaming: it is read again for each question.
"""
import socketserver
import sys


def answer(question, path):
    number, word, address = question.decode().rstrip("\n").split(" ", 2)
    try:
        with open(path, encoding="utf-8") as file:
            accounts = set(file.read().split("\n")) - {""}
    except (OSError, ValueError) as error:
        return f"{number} tempfail {error}"
    if word != "exists" or not accounts:
        return f"{number} tempfail unknown question, or no accounts"
    return f"{number} found" if address in accounts else f"{number} notfound"


def serve(reader, writer, path):
    reader.readline()  # the hello of rcptd
    writer.write(b"rcptd-plugin 1 accounts.py\n")
    writer.flush()
    for question in reader:
        writer.write(answer(question, path).encode() + b"\n")
        writer.flush()


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        serve(self.rfile, self.wfile, sys.argv[1])


if len(sys.argv) > 2:
    socketserver.ThreadingUnixStreamServer(sys.argv[2], Connection).serve_forever()
else:
    serve(sys.stdin.buffer, sys.stdout.buffer, sys.argv[1])

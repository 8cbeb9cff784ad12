#!/bin/sh
# Makes the certificates of the STARTTLS tests anew: an authority, and a server's certificate it signed.
set -eu
cd "$(dirname "$0")"
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $key -keyout ca.key -out ca.pem -days 36500 -subj "/CN=rcptd test authority" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
openssl req $key -keyout server.key -out server.csr -subj "/CN=mail.example.test"
printf '%s\n' 'subjectAltName=DNS:mail.example.test,IP:127.0.0.1' 'basicConstraints=CA:FALSE' \
    'extendedKeyUsage=serverAuth' >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 36500 \
    -extfile server.ext -out server.pem
rm -f ca.key ca.srl server.csr server.ext

# A certificate that is its own authority, for nodes of a Redis Cluster: they are clients of each other, too.
openssl req -x509 $key -keyout node.key -out node.pem -days 36500 -subj "/CN=node.example.test" \
    -addext basicConstraints=CA:FALSE -addext subjectAltName=IP:127.0.0.1

// Makes a TLS handshake for each line of standard input, a port and the name to dial,
// and prints "yes" if Node accepts the certificate, "no" if it does not.
"use strict";
const fs = require("fs");
const tls = require("tls");

const ca = fs.readFileSync(process.argv[2]);

function dial(port, name) {
  return new Promise((resolve) => {
    const isAddress = /^[0-9.]+$/.test(name);
    const socket = tls.connect({
      host: "127.0.0.1",
      port,
      ca,
      ALPNProtocols: ["h2"],
      ...(isAddress ? {} : { servername: name }),
    });
    socket.on("secureConnect", () => {
      socket.destroy();
      resolve("yes");
    });
    socket.on("error", (error) => {
      resolve(error.code === "ERR_TLS_CERT_ALTNAME_INVALID" ? "no" : String(error));
    });
  });
}

(async () => {
  for (const line of fs.readFileSync(0, "utf8").trim().split("\n")) {
    const [port, name] = line.split(" ");
    console.log(await dial(Number(port), name));
  }
})();

// Calls the greeter with @grpc/grpc-js: one unary and one bidirectional call.
//
//   node client.js ADDRESS PROTO --ca FILE [--cert FILE --key FILE]
//
// Prints one JSON document: the replies, or the status of the call that failed.
"use strict";

const { readFileSync } = require("node:fs");
const { parseArgs } = require("node:util");
const grpc = require("@grpc/grpc-js");
const { loadSync } = require("@grpc/proto-loader");

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { ca: { type: "string" }, cert: { type: "string" }, key: { type: "string" } },
});
const [address, proto] = positionals;
const read = (path) => (path === undefined ? null : readFileSync(path));

const { Greeter } = grpc.loadPackageDefinition(loadSync(proto)).helloworld;
const greeter = new Greeter(
  address,
  grpc.credentials.createSsl(read(values.ca), read(values.key), read(values.cert)),
);
const deadline = () => ({ deadline: Date.now() + 15_000 });

function sayHello(name) {
  return new Promise((resolve, reject) => {
    greeter.sayHello({ name }, new grpc.Metadata(), deadline(), (error, reply) =>
      error ? reject(error) : resolve(reply.message),
    );
  });
}

// Sends each name after the previous one has been answered.
function chat(names) {
  return new Promise((resolve, reject) => {
    const replies = [];
    const call = greeter.chat(new grpc.Metadata(), deadline());
    call.on("data", ({ message }) => {
      replies.push(message);
      if (replies.length < names.length) call.write({ name: names[replies.length] });
      else call.end();
    });
    call.on("error", reject);
    call.on("end", () => resolve(replies));
    call.write({ name: names[0] });
  });
}

async function main() {
  const unary = await sayHello("Ada");
  return { unary, chat: await chat(["Ada", "Grace"]) };
}

main()
  .catch(({ code, details }) => ({ code: grpc.status[code], details }))
  .then((result) => {
    console.log(JSON.stringify(result));
    greeter.close();
  });

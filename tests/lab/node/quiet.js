// An origin that sends its head at once and nothing else until the first event: what a hop does to the head alone.
// The embedded server writes a comment behind its head, which carries the head through every proxy.
const http = require("http");

const FIRST = 1800, EVERY = 300, COUNT = 8;

http.createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  response.flushHeaders();
  let number = 0, timer = setTimeout(send, FIRST);
  function send() {
    number += 1;
    const sent = { seq: number, sent_at: Date.now() / 1000 };
    response.write(number > COUNT ? `event: complete\ndata: ${JSON.stringify(sent)}\n\n` : `id: ${number}\ndata: ${JSON.stringify(sent)}\n\n`);
    if (number > COUNT) response.end();
    else timer = setTimeout(send, EVERY);
  }
  response.on("close", () => clearTimeout(timer));
}).listen(Number(process.argv[2]), "127.0.0.1");

// NocoDB as a plain HTTP server. Everything is set by the environment: HOST and PORT say where it listens, the NC_ names
// are NocoDB's own.
'use strict';
const http = require('node:http');
const express = require('express');
const { Noco } = require('nocodb');

const { HOST = '127.0.0.1', PORT = '8080' } = process.env;

function end(signal) {
  // NocoDB waits for its idle connections and never ends by itself. A request at hand gets three seconds; what it
  // writes is one transaction of PostgreSQL, so ending in the middle loses nothing but the answer.
  console.log(`nocodb ends on ${signal}`);
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), 3000).unref();
}

const app = express();
app.set('view engine', 'ejs');
const server = http.createServer(app);
process.on('SIGTERM', end);
process.on('SIGINT', end);

server.listen(Number(PORT), HOST, async () => {
  try {
    app.use(await Noco.init({}, server, app));
    console.log(`nocodb listens on ${HOST}:${PORT}`);
  } catch (error) {
    console.error('nocodb cannot start:', error);
    process.exit(1);
  }
});
server.on('error', (error) => {
  console.error(`nocodb cannot listen on ${HOST}:${PORT}: ${error.message}`);
  process.exit(1);
});

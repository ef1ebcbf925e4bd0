// NocoDB loads sqlite3 even where PostgreSQL holds everything. It would have to be compiled here, for over a minute and
// with a C++ compiler; an empty stand-in, preloaded with `node --require`, is all that is needed.
'use strict';
const Module = require('node:module');

const load = Module._load;
Module._load = function (request, ...rest) {
  if (request !== 'sqlite3') return load.call(this, request, ...rest);
  const absent = class {
    constructor() {
      throw new Error('sqlite3 is not installed: NocoDB runs on PostgreSQL here');
    }
  };
  const driver = { Database: absent, Statement: absent, OPEN_READWRITE: 2, OPEN_CREATE: 4 };
  return { ...driver, verbose: () => driver };
};

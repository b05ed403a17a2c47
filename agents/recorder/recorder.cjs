// Records which of the project's files a Node process reads, then leaves everything as it was.
// Loaded by NODE_OPTIONS=--require. CommonJS, Jest, Vite and compilers read sources through `fs`; ECMAScript modules
// go through loader hooks (recorder.mjs, or synchronous hooks where this Node has them).
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { fileURLToPath, pathToFileURL } = require('node:url');
const { isMainThread } = require('node:worker_threads');
const nodeModule = require('node:module');

const config = JSON.parse(fs.readFileSync(path.join(__dirname, 'record.json'), 'utf8'));
const { openSync, writeSync, closeSync } = fs;
const realpath = fs.realpathSync.native;
const seen = new Set();
const code = /\.(?:[cm]?[jt]sx?|vue|svelte)$/;

function write(fact) {
  try {
    const fd = openSync(config.out, 'a', 0o600);
    try { writeSync(fd, JSON.stringify(fact) + '\n'); } finally { closeSync(fd); }
  } catch { /* the run's folder is gone: this process has outlived its run */ }
}

function noted(file) {
  try {
    if (file instanceof URL) file = fileURLToPath(file);
    if (typeof file !== 'string') return;
    if (file.startsWith('file:')) file = fileURLToPath(file);
    file = file.replace(/[?#].*$/, '');
    if (seen.has(file) || !code.test(file)) return;
    seen.add(file);
    const real = realpath(path.resolve(file));
    if (config.roots.some((root) => real.startsWith(root))) write({ k: 'load', file: real, name: '', node: true });
  } catch { /* a file that isn't there isn't loaded */ }
}

for (const [owner, name] of [[fs, 'readFileSync'], [fs, 'readFile'], [fs, 'createReadStream'], [fs.promises, 'readFile']]) {
  const original = owner[name];
  owner[name] = Object.defineProperties(function (file, ...rest) {
    noted(file);
    return original.call(this, file, ...rest);
  }, Object.getOwnPropertyDescriptors(original));
}
nodeModule.syncBuiltinESMExports();
if (isMainThread) write({ k: 'process', pid: process.pid, node: process.version, argv: process.argv.slice(0, 8) });
if (nodeModule.registerHooks) {
  nodeModule.registerHooks({ load(url, context, next) { noted(url); return next(url, context); } });
} else if (nodeModule.register && isMainThread) {
  nodeModule.register(pathToFileURL(path.join(__dirname, 'recorder.mjs')).href, { data: config });
}

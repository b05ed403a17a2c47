// Loader hooks for Node versions without synchronous ones: notes each ECMAScript module that is loaded.
import { appendFileSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

let config;
export function initialize(data) { config = data; }

export async function load(url, context, next) {
  if (url.startsWith('file:') && config) {
    try {
      const file = realpathSync.native(fileURLToPath(url.replace(/[?#].*$/, '')));
      if (config.roots.some((root) => file.startsWith(root))) {
        appendFileSync(config.out, JSON.stringify({ k: 'load', file, name: '', node: true }) + '\n');
      }
    } catch { /* a file that isn't there isn't loaded */ }
  }
  return next(url, context);
}

// A static file server for the demo and the tests: the headers that isolate a page (so that threads may share memory),
// right types for WebAssembly and scripts, nothing cached.
//
//   node scripts/serve.mjs [--port N] [--host H] [--mount /prefix=folder]... [folder]
//
// Port 0 takes a free one. The address is printed.

import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, resolve, sep } from 'node:path'
import { pipeline } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.gguf': 'application/octet-stream',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
}

const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
}

/**
 * Serves folders: `mounts` maps URL prefixes to them, and the longest prefix wins. `isolated: false` leaves the
 * isolation headers out; `cors: true` lets pages of other origins read. Resolves to `{ url, close }` once it listens.
 */
export async function serve({ mounts, port = 0, host = '127.0.0.1', isolated = true, cors = false }) {
  const folders = Object.entries(mounts)
    .map(([prefix, folder]) => ({ prefix: prefix.replace(/\/*$/, '/'), folder: resolve(folder) }))
    .sort((a, b) => b.prefix.length - a.prefix.length)
  const headers = Object.fromEntries(
    Object.entries(HEADERS).filter(([name]) => isolated || !/(Opener|Embedder)/.test(name)),
  )
  if (cors) headers['Access-Control-Allow-Origin'] = '*'
  const server = createServer((request, response) => {
    answer(request, response, folders, headers).catch((error) => {
      console.error(error)
      response.destroy()
    })
  })
  await new Promise((listening, failed) => server.once('error', failed).listen(port, host, listening))
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${server.address().port}/`,
    close: () =>
      new Promise((closed) => {
        server.close(closed)
        server.closeAllConnections()
      }),
  }
}

async function answer(request, response, folders, headers) {
  const say = (status, text) =>
    response.writeHead(status, { ...headers, 'Content-Type': TYPES['.txt'] }).end(`${text}\n`)
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, 'only GET and HEAD')
  const file = await findFile(request.url, folders)
  if (!file) return say(404, `no such file: ${request.url}`)
  const type = TYPES[extname(file.path)] ?? 'application/octet-stream'
  response.writeHead(200, { ...headers, 'Content-Type': type, 'Content-Length': file.size })
  if (request.method === 'HEAD') return response.end()
  pipeline(createReadStream(file.path, { highWaterMark: 1 << 20 }), response, () => undefined)
}

async function findFile(url, folders) {
  let path
  try {
    path = decodeURIComponent(new URL(url, 'http://localhost').pathname)
  } catch {
    return undefined
  }
  const mount = folders.find(({ prefix }) => path.startsWith(prefix))
  if (!mount || path.includes('\0')) return undefined
  const target = join(mount.folder, path.slice(mount.prefix.length))
  if (target !== mount.folder && !target.startsWith(mount.folder.replace(/\/?$/, sep))) return undefined
  const file = path.endsWith('/') ? join(target, 'index.html') : target
  const stats = await stat(file).catch(() => undefined)
  return stats?.isFile() ? { path: file, size: stats.size } : undefined
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      port: { type: 'string', default: '8080' },
      host: { type: 'string', default: '127.0.0.1' },
      mount: { type: 'string', multiple: true, default: [] },
    },
  })
  const mounts = Object.fromEntries([['/', positionals[0] ?? '.'], ...values.mount.map((mount) => mount.split('=', 2))])
  const { url } = await serve({ mounts, port: Number(values.port), host: values.host })
  console.log(url)
}

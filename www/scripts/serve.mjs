/**
 * The static server of demo, tests and benchmarks: `sirv`, with the headers that isolate a page (so that threads may
 * share memory), byte ranges, entity tags, and nothing kept in the browser's cache.
 *
 *   node scripts/serve.mjs [--port N] [--host H] [--mount /prefix=folder]... [folder]
 *
 * Port 0 takes a free one. The address is printed.
 */

import { createServer } from 'node:http'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import sirv from 'sirv'

const HEADERS = {
  'Cache-Control': 'no-store',
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'X-Content-Type-Options': 'nosniff',
}

const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

/**
 * Serves folders: `mounts` maps URL prefixes to them, and the longest prefix wins. `isolated: false` leaves the
 * isolation headers out; `cors: true` lets pages of other origins read. Resolves once the server listens.
 *
 * @param {object} options
 * @param {Record<string, string>} options.mounts
 * @param {number} [options.port]
 * @param {string} [options.host]
 * @param {boolean} [options.isolated]
 * @param {boolean} [options.cors]
 * @returns {Promise<{ readonly url: string, close(): Promise<void> }>}
 */
export async function serve({ mounts, port = 0, host = '127.0.0.1', isolated = true, cors = false }) {
  const folders = Object.entries(mounts)
    .map(([prefix, folder]) => ({ prefix: prefix.replace(/\/*$/, '/'), answer: filesOf(folder) }))
    .sort((a, b) => b.prefix.length - a.prefix.length)
  const headers = new Map(
    Object.entries({
      ...HEADERS,
      ...(isolated ? ISOLATION : {}),
      ...(cors ? { 'Access-Control-Allow-Origin': '*' } : {}),
    }),
  )
  const server = createServer((request, response) => {
    response.setHeaders(headers)
    const refuse = (/** @type {number} */ status, /** @type {string} */ text) => {
      response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
    }
    const url = request.url ?? '/'
    const folder = folders.find(({ prefix }) => url.startsWith(prefix))
    if (request.method !== 'GET' && request.method !== 'HEAD') refuse(405, 'only GET and HEAD')
    else if (!folder) refuse(404, `no such file: ${url}`)
    else {
      request.url = url.slice(folder.prefix.length - 1)
      folder.answer(request, response, () => refuse(404, `no such file: ${url}`))
    }
  })
  await new Promise((listening, failed) => server.once('error', failed).listen(port, host, () => listening(undefined)))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}/`,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed())
        server.closeAllConnections()
      }),
  }
}

function filesOf(/** @type {string} */ folder) {
  return sirv(resolve(folder), {
    // Looks at the disk at each request.
    dev: true,
    etag: true,
    extensions: ['html'],
    setHeaders(response, path) {
      if (path.endsWith('.gguf')) response.setHeader('Content-Type', 'application/octet-stream')
    },
  })
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

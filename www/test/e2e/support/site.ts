/**
 * A web server for the tests: the project's own static server, with routes in front of it that misbehave as a test wants.
 * Routes share the origin of the pages, so that no response is hidden by CORS.
 */

import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serve } from '../../../scripts/serve.mjs'
import { fixtures, targetFolder } from './files.ts'

export type Route = (request: IncomingMessage, response: ServerResponse) => void

export interface Site {
  /** Ends in a slash. */
  readonly url: string
  /** Answers requests for a path, and returns its URL. */
  route(path: string, answer: Route): string
  close(): Promise<void>
}

export interface SiteOptions {
  /** With the headers that isolate a page. */
  readonly isolated?: boolean
  /** Headers of every answer. */
  readonly headers?: Readonly<Record<string, string>>
}

const www = fileURLToPath(new URL('../../../', import.meta.url))

/** Serves test pages (`/`), library (`/dist/`), demo (`/demo/`), wllama (`/wllama/`), fixtures (`/fixtures/`) and made models (`/models/`). */
export async function startSite({ isolated = true, headers = {} }: SiteOptions = {}): Promise<Site> {
  const files = await serve({
    mounts: {
      '/': join(www, 'test/e2e/page'),
      '/dist': join(www, 'dist'),
      '/demo': join(www, 'demo/dist'),
      '/wllama': join(www, 'node_modules/@wllama/wllama/esm'),
      '/fixtures': fixtures,
      '/models': join(targetFolder, 'models'),
    },
    isolated,
  })
  const routes = new Map<string, Route>()
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const route = routes.get(pathname) ?? forward(files.url)
    response.setHeaders(new Map(Object.entries(headers)))
    route(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  const url = `http://127.0.0.1:${address.port}/`
  return {
    url,
    route(path, answer) {
      routes.set(`/${path}`, answer)
      return url + path
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await files.close()
    },
  }
}

/** Passes a request on to another server. */
function forward(to: string): Route {
  return (request, response) => {
    const onward = httpRequest(new URL(request.url ?? '/', to), { method: request.method ?? 'GET' }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    onward.end()
  }
}

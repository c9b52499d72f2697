/**
 * Serves the models of `models.json` next to the page, under `models/`, with a manifest of those that are really there.
 *
 * Files are looked for in the folders of WEBTERN_MODELS (separated as in PATH), in the repository's `models/`, and in the
 * test fixtures (WEBTERN_FIXTURES, else `../shared/fixtures` beside the checkout). `*.gguf` files that WEBTERN_MODELS
 * adds beyond the catalogue are listed by name.
 */

import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, delimiter, join, resolve } from 'node:path'
import type { Plugin } from 'vite'

interface Entry {
  readonly file: string
  readonly title: string
  readonly description: string
  readonly examples: readonly string[]
}

type Found = Entry & { readonly path: string; readonly bytes: number }

export function servedModels(demo: string): Plugin {
  const repository = resolve(demo, '../..')
  let outDir = ''
  return {
    name: 'webtern-models',
    configResolved(config) {
      outDir = resolve(config.root, config.build.outDir)
    },
    writeBundle() {
      const models = findModels(demo, repository)
      mkdirSync(join(outDir, 'models'), { recursive: true })
      for (const model of models) copyFileSync(model.path, join(outDir, 'models', model.file))
      writeFileSync(join(outDir, 'models', 'manifest.json'), manifest(models))
    },
    configureServer(server) {
      server.middlewares.use('/models', (request, response, next) => {
        const wanted = basename(request.url ?? '')
        const models = findModels(demo, repository)
        const model = models.find(({ file }) => file === wanted)
        if (wanted === 'manifest.json') {
          response.setHeader('content-type', 'application/json')
          response.end(manifest(models))
        } else if (model) {
          response.setHeader('content-type', 'application/octet-stream')
          response.setHeader('content-length', model.bytes)
          createReadStream(model.path).pipe(response)
        } else {
          next()
        }
      })
    },
  }
}

function findModels(demo: string, repository: string): readonly Found[] {
  const extra = (process.env['WEBTERN_MODELS'] ?? '').split(delimiter).filter((folder) => folder !== '')
  const fixtures = process.env['WEBTERN_FIXTURES'] ?? resolve(repository, '../shared/fixtures')
  const folders = [...extra, join(repository, 'models'), fixtures]
  const catalogue = JSON.parse(readFileSync(join(demo, 'models.json'), 'utf8')) as readonly Entry[]
  const named = new Set(catalogue.map(({ file }) => file))
  const added = extra
    .flatMap((folder) => readdirSync(folder))
    .filter((file) => file.endsWith('.gguf') && !named.has(file))
    .map((file): Entry => ({ file, title: file.replace(/\.gguf$/, ''), description: '', examples: [] }))
  return [...catalogue, ...added].flatMap((entry) => {
    const path = folders.map((folder) => join(folder, entry.file)).find((candidate) => existsSync(candidate))
    return path === undefined ? [] : [{ ...entry, path, bytes: statSync(path).size }]
  })
}

function manifest(models: readonly Found[]): string {
  return JSON.stringify({
    models: models.map(({ file, title, description, bytes, examples }) => ({
      file,
      title,
      description,
      bytes,
      examples,
    })),
  })
}

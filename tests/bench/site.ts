/** The local server of a run: the page scripts, the engines as they come from npm, the models. It lets nothing be cached. */

import { mkdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { serve } from '../../www/scripts/serve.mjs'
import { ENGINES } from './engines.js'
import type { ModelFile } from './options.js'

/** Modules that pages load as they are, from these addresses, rather than bundled. */
const SERVED = new Map([
  ['webtern', '/dist/index.js'],
  ['webtern-bench', '/bench-wasm/webtern.js'],
  ['@wllama/wllama/esm/index.js', '/wllama-3/index.js'],
  ['wllama-2/esm/index.js', '/wllama-2/index.js'],
])

const asServed: Plugin = {
  name: 'as-served',
  setup(esbuild) {
    esbuild.onResolve({ filter: /^(webtern$|webtern-bench$|@wllama|wllama-2)/ }, ({ path }) => ({
      path: SERVED.get(path) ?? path,
      external: true,
    }))
  },
}

export interface Site {
  /** The page of an engine, or of the kernels. */
  pageOf(name: string): string
  /** The address of a model, from the pages. */
  addressOf(model: ModelFile): string
  close(): Promise<void>
}

/** Bundles the page scripts into `built` and serves everything, with the headers that let threads share memory. */
export async function startSite(
  sources: string,
  www: string,
  built: string,
  models: readonly ModelFile[],
): Promise<Site> {
  mkdirSync(built, { recursive: true })
  await build({
    entryPoints: [...ENGINES, 'kernels'].map((page) => join(sources, 'page', `${page}.ts`)),
    outdir: built,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    logLevel: 'warning',
    plugins: [asServed],
  })
  // Each model has a folder of its own, because two may have one name.
  const addressOf = (model: ModelFile): string =>
    `/models/${models.indexOf(model)}/${encodeURIComponent(basename(model.path))}`
  const site = await serve({
    mounts: {
      '/': join(sources, 'page'),
      '/built': built,
      '/dist': join(www, 'dist'),
      '/bench-wasm': join(www, 'wasm/bench'),
      '/wllama-3': join(www, 'node_modules/@wllama/wllama/esm'),
      '/wllama-2': join(www, 'node_modules/wllama-2/esm'),
      ...Object.fromEntries(models.map((model) => [dirname(addressOf(model)), dirname(model.path)])),
    },
  })
  return { pageOf: (name) => `${site.url}?page=${name}`, addressOf, close: () => site.close() }
}

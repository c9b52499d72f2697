/** A copy of an example with the packed package installed, built or served as its user would. */

import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { serve } from '../../scripts/serve.mjs'

const run = promisify(execFile)
const www = fileURLToPath(new URL('../../', import.meta.url))
const examples = join(www, '../examples/embed')
const target = join(www, '../target/embed')

/** Where an app is served. */
export interface Served {
  readonly url: string
  close(): Promise<void>
}

/** Packs the package and returns the path of the tarball. */
export async function pack(): Promise<string> {
  if (!existsSync(join(www, 'dist/index.js'))) throw new Error('www/dist is missing: run "npm run build" first')
  rmSync(join(target, 'package'), { recursive: true, force: true })
  mkdirSync(join(target, 'package'), { recursive: true })
  await run('npm', ['pack', '--pack-destination', join(target, 'package')], { cwd: www })
  const [tarball] = readdirSync(join(target, 'package'))
  if (tarball === undefined) throw new Error('npm pack wrote nothing')
  return join(target, 'package', tarball)
}

/** Copies an example and installs its dependencies, some of them in other versions. Returns the folder. */
export async function install(
  example: string,
  tarball: string,
  versions: Readonly<Record<string, string>> = {},
): Promise<string> {
  const suffix = Object.entries(versions).map(([name, version]) => `-${name.replace(/\W/g, '')}${version}`)
  const folder = join(target, example + suffix.join(''))
  // A changed lock file would keep an older tarball of the same version.
  for (const name of ['node_modules/webtern', 'package-lock.json', 'dist', '.next', '.parcel-cache', 'src', 'app'])
    rmSync(join(folder, name), { recursive: true, force: true })
  cpSync(join(examples, example), folder, { recursive: true })
  const path = join(folder, 'package.json')
  const parse: (text: string) => { dependencies: object; devDependencies: object } = JSON.parse
  const manifest = parse(readFileSync(path, 'utf8'))
  manifest.dependencies = { ...manifest.dependencies, webtern: `file:${tarball}` }
  manifest.devDependencies = { ...manifest.devDependencies, ...versions }
  writeFileSync(path, JSON.stringify(manifest, null, 2))
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: folder, maxBuffer: 1 << 24 })
  return folder
}

/** Runs a script of the example, and serves the example's `root` with the headers that isolate a page. */
export async function build(
  folder: string,
  script: string,
  root: string,
  args: readonly string[] = [],
): Promise<Served> {
  if (script !== '') await run('npm', ['run', script, '--', ...args], { cwd: folder, maxBuffer: 1 << 24 })
  return serve({ mounts: { '/': join(folder, root) } })
}

/** Starts a development server of the example, on a free port that `args` name. */
export async function develop(folder: string, args: (port: number) => readonly string[]): Promise<Served> {
  const port = await freePort()
  const [command = '', ...rest] = args(port)
  const server = spawn(join(folder, 'node_modules/.bin', command), rest, { cwd: folder, detached: true })
  let output = ''
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()))
  const url = `http://localhost:${port}/`
  const close = async (): Promise<void> => {
    // The servers start processes of their own.
    if (server.pid !== undefined && server.exitCode === null) process.kill(-server.pid, 'SIGKILL')
  }
  for (let waited = 0; ; waited++) {
    const answers = await fetch(url).then(
      (response) => response.ok,
      () => false,
    )
    if (answers) return { url, close }
    if (server.exitCode !== null || waited > 240) {
      await close()
      throw new Error(`${command} does not answer at ${url}:\n${output}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().listen(0, () => {
      const address = server.address()
      server.close(() =>
        address === null || typeof address === 'string' ? reject(new Error('no port')) : resolve(address.port),
      )
    })
  })
}

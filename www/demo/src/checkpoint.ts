/** A checkpoint as the page gets it: from a folder that was chosen or dropped, or file by file. */

/** Its files and a name for it. */
export interface Checkpoint {
  readonly name: string
  readonly files: readonly File[]
}

/** Whether these are the files of a GGUF model, and no checkpoint. */
export function isModel(files: readonly File[]): boolean {
  return files.length > 0 && files.every(({ name }) => name.endsWith('.gguf'))
}

/** Folders below a dropped one that are looked into. */
const MAX_DEPTH = 3

/** What a file input gives: the files of a folder, which name it, or single files, which do not. */
export function checkpointOfFiles(files: readonly File[]): Checkpoint {
  const folders = files
    .filter(({ name }) => name === 'config.json')
    .map((file) => file.webkitRelativePath.split('/').slice(0, -1))
    .sort((a, b) => a.length - b.length)
  const name = folders[0]?.at(-1) ?? (isModel(files) ? files[0]?.name : undefined)
  return { name: name ?? 'checkpoint', files }
}

/**
 * What was dropped: of the folders, the first with a `config.json`, and of those below it the uppermost. Where none has one,
 * the first folder as it is; the library says what is missing.
 */
export async function checkpointOfEntries(dropped: readonly (FileSystemEntry | null)[]): Promise<Checkpoint> {
  let level = dropped.filter(isDirectory)
  let first: Checkpoint | undefined
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const below: FileSystemDirectoryEntry[] = []
    for (const directory of level) {
      const entries = await entriesOf(directory)
      const checkpoint = { name: directory.name, files: await Promise.all(entries.filter(isFile).map(fileOf)) }
      if (checkpoint.files.some(({ name }) => name === 'config.json')) return checkpoint
      first ??= checkpoint
      below.push(...entries.filter(isDirectory))
    }
    level = below
  }
  return first ?? { name: 'checkpoint', files: [] }
}

function isDirectory(entry: FileSystemEntry | null): entry is FileSystemDirectoryEntry {
  return entry?.isDirectory ?? false
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject))
}

/** Everything in a folder; the browser hands it out in portions. */
async function entriesOf(directory: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = directory.createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) return all
    all.push(...some)
  }
}

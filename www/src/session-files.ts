/** Saved sessions in the origin private file system. */

import { messageOf, WebternError } from './errors.js'

/** Where they are, from the root. */
const FOLDER = ['webtern', 'sessions']

// In every browser since 2023, but not in TypeScript's library for pages.
declare global {
  interface FileSystemFileHandle {
    createSyncAccessHandle(): Promise<SyncHandle>
    move(name: string): Promise<void>
  }
}

/** A file that only a worker writes. */
interface SyncHandle {
  truncate(size: number): void
  write(bytes: Uint8Array, options: { readonly at: number }): number
  flush(): void
  close(): void
}

/** Replaces the session `name`: the one before stays until this one is complete. */
export async function writeSession(name: string, blob: Blob): Promise<void> {
  try {
    const folder = await open(true)
    const file = await folder.getFileHandle(`${name}.part`, { create: true })
    const handle = await file.createSyncAccessHandle()
    try {
      handle.truncate(0)
      let at = 0
      for (const reader = blob.stream().getReader(); ;) {
        const { done, value } = await reader.read()
        if (done) break
        at += handle.write(value, { at })
      }
      if (at !== blob.size) throw new Error(`only ${String(at)} of ${String(blob.size)} bytes were written`)
      handle.flush()
    } finally {
      handle.close()
    }
    await file.move(name)
  } catch (error) {
    throw failure(name, 'saved', error)
  }
}

/** The session `name`. */
export async function readSession(name: string): Promise<Blob> {
  try {
    const file = await (await open(false)).getFileHandle(name)
    return await file.getFile()
  } catch (error) {
    throw failure(name, 'read', error)
  }
}

async function open(create: boolean): Promise<FileSystemDirectoryHandle> {
  let folder = await navigator.storage.getDirectory()
  for (const name of FOLDER) folder = await folder.getDirectoryHandle(name, { create })
  return folder
}

function failure(name: string, what: string, error: unknown): WebternError {
  const missing = error instanceof DOMException && error.name === 'NotFoundError'
  const reason = missing ? 'there is no session of that name' : messageOf(error)
  return new WebternError('io', `the session ${name} could not be ${what}: ${reason}`, { cause: error })
}

/**
 * Blobs as the engine reads and writes them: synchronously, in parts. Only a worker has the
 * synchronous reader that this needs (`FileReaderSync`).
 */

import { messageOf } from './errors.js'
import type { WasmFiles, WasmSink } from './wasm.js'

/** A blob and the engine's name for it. */
export interface NamedBlob {
  readonly name: string
  readonly blob: Blob
}

declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer
}

/** Named blobs, to read from. */
export class BlobFiles implements WasmFiles {
  readonly #blobs: ReadonlyMap<string, Blob>
  readonly #reader = new FileReaderSync()

  constructor(files: readonly NamedBlob[]) {
    this.#blobs = new Map(files.map(({ name, blob }) => [name, blob]))
  }

  fileNames(): string[] {
    return [...this.#blobs.keys()]
  }

  sizeOf(name: string): number | undefined {
    return this.#blobs.get(name)?.size
  }

  read(name: string, offset: number, buffer: Uint8Array): void {
    const part = this.#blobs.get(name)?.slice(offset, offset + buffer.length) ?? new Blob()
    try {
      buffer.set(new Uint8Array(this.#reader.readAsArrayBuffer(part)))
    } catch (error) {
      throw new Error(`it could not be read (${messageOf(error)}): choose it again if it has moved or changed`, {
        cause: error,
      })
    }
  }
}

/**
 * Collects written bytes in blobs, which the browser may keep on disk, so that memory holds one
 * part only.
 */
export class BlobSink implements WasmSink {
  readonly #parts: Blob[] = []
  readonly #reader = new FileReaderSync()

  append(bytes: Uint8Array): void {
    try {
      // A copy: blobs do not take memory that threads share.
      const part = new Blob([bytes.slice()])
      // A browser without room for the part reports it when the part is read.
      this.#reader.readAsArrayBuffer(part.slice(-1))
      this.#parts.push(part)
    } catch (error) {
      const written = this.blob().size
      throw new Error(
        `the browser has no room for ${String(bytes.length)} bytes after ${String(written)} (${messageOf(error)}): ` +
          'free some disk space or close other pages',
        { cause: error },
      )
    }
  }

  /** Everything written so far. */
  blob(): Blob {
    return new Blob(this.#parts, { type: 'application/octet-stream' })
  }
}

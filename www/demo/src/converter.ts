/**
 * The controller of the convert view: from a checkpoint to a file. It also looks at GGUF models, with which there is nothing
 * to convert. Its only writer.
 */

import { convertCheckpoint, inspectCheckpoint, inspectModel, verifyModel } from 'webtern'
import { checkpointOfFiles, isModel, type Checkpoint } from './checkpoint'
import { byId, focusIsNowhere, setText } from './dom'
import { bytes, percent } from './format'
import { ConvertOptionsView } from './view-convert-options'
import { codeOf, ErrorView, type Words } from './view-error'
import { InspectionView } from './view-inspection'
import type { Choice } from './choice'
import { ProgressView } from './view-progress'
import type { CheckpointReport, ErrorCode, ModelSource, Verification } from 'webtern'

/**
 * `choose`: no checkpoint. `inspecting`, `ready`: one that may be converted, or not as asked. `converting`, `done`. `model`:
 * a GGUF model instead.
 */
type Step = 'choose' | 'inspecting' | 'ready' | 'converting' | 'done' | 'model'

const WORDS: Partial<Readonly<Record<ErrorCode, Words>>> = {
  io: {
    title: 'A file is missing',
    advice: 'Add the file that the message names to the folder, then choose the folder again.',
  },
  truncated: {
    title: 'The checkpoint is incomplete',
    advice: 'Download the file that the message names again, then choose the folder again.',
  },
  malformed: {
    title: 'The checkpoint is damaged',
    advice: 'Download the file that the message names again.',
  },
  'unsupported-architecture': {
    title: 'Unsupported architecture',
    advice: 'The message lists the supported ones. The checkpoint was not changed.',
  },
  'unsupported-type': {
    title: 'Unsupported weight format',
    advice: 'Save them as safetensors, in a 16- or 32-bit float type.',
  },
  'out-of-memory': {
    title: 'Not enough memory or disk space',
    advice: 'Close other pages and free some disk space, or use the command line: “webtern convert”.',
  },
  'no-mask-token': {
    title: 'No mask token',
    advice: 'Enter its id under “Diffusion”, or leave block size and attention on automatic.',
  },
  'bad-option': {
    title: 'An option does not fit this checkpoint',
    advice: 'Change it in the form. Names that begin with “--” are the options of the command line.',
  },
  crashed: {
    title: 'The converter stopped unexpectedly',
    advice: 'Try again. If it happens twice, please report it with the checkpoint.',
  },
}

/** What another option may put right. */
const BY_OPTION: readonly string[] = ['bad-option', 'no-mask-token', 'malformed']
/** What may be gone the next time. */
const BY_RETRY: readonly string[] = ['network', 'out-of-memory', 'crashed']

/** What the converter asks of the page around it. */
export interface Surroundings {
  /** Says something short to screen readers. */
  readonly announce: (text: string) => void
  /** Runs the file. */
  readonly use: (choice: Choice) => void
}

export class Converter {
  readonly #root = byId('convert', HTMLElement)
  readonly #folder = byId('checkpoint-folder', HTMLInputElement)
  readonly #start = byId('convert-start', HTMLButtonElement)
  readonly #use = byId('use-now', HTMLButtonElement)
  readonly #download = byId('download', HTMLAnchorElement)
  readonly #verification = byId('verification', HTMLElement)
  readonly #errors = new ErrorView('convert-error', WORDS, () => this.focus())
  readonly #options = new ConvertOptionsView(
    () => void this.#inspect(),
    () => void this.#convert(),
  )
  readonly #inspection = new InspectionView()
  readonly #progress = new ProgressView('converting', () => this.#task?.abort())
  #step: Step = 'choose'
  #checkpoint: Checkpoint | null = null
  /** What is under way; another one ends it. */
  #task: AbortController | null = null
  #coming: Promise<Checkpoint> | null = null
  #file: File | null = null

  constructor(private readonly surroundings: Surroundings) {
    const files = byId('checkpoint-files', HTMLInputElement)
    for (const input of [this.#folder, files]) {
      input.addEventListener('change', () => {
        if (input.files?.length) void this.open(Promise.resolve(checkpointOfFiles([...input.files])))
        input.value = ''
      })
    }
    byId('checkpoint-other', HTMLButtonElement).addEventListener('click', () => this.close())
    byId('verify', HTMLButtonElement).addEventListener('click', () => void this.#verify())
    this.#use.addEventListener('click', () => {
      const files = this.#file ? [this.#file] : (this.#checkpoint?.files ?? [])
      const source: ModelSource = files.length === 1 && files[0] ? files[0] : files
      this.surroundings.use({ source, label: files[0]?.name ?? '', examples: [] })
    })
  }

  /** Inspects a checkpoint in place of the present one. */
  async open(coming: Promise<Checkpoint>): Promise<void> {
    if (this.#step === 'converting') {
      this.surroundings.announce('A conversion is running: cancel it first')
      return
    }
    this.close()
    this.#coming = coming
    try {
      const checkpoint = await coming
      if (this.#coming !== coming) return
      this.#checkpoint = checkpoint
    } catch (error) {
      this.#errors.show(error, null)
      return
    }
    const { name, files } = this.#checkpoint
    this.#inspection.begin(this.#checkpoint)
    this.#options.reset(name)
    this.#options.hidden = isModel(files)
    await (isModel(files) ? this.#inspectModel(files) : this.#inspect())
  }

  /** Forgets the checkpoint and the file made of it. */
  close(): void {
    this.#task?.abort()
    this.#task = null
    this.#errors.hide()
    this.#forgetFile()
    this.#checkpoint = null
    this.#coming = null
    this.#go('choose')
    this.focus()
  }

  /** Puts the keyboard where the next thing is done. */
  focus(): void {
    if (this.#step === 'choose') this.#folder.focus()
    else if (this.#step === 'done' || this.#step === 'model') this.#use.focus()
    else this.#start.focus()
  }

  async #inspect(): Promise<void> {
    const checkpoint = this.#checkpoint
    if (!checkpoint || !this.#options.validate()) return
    const { signal } = this.#begin('inspecting')
    this.#forgetFile()
    try {
      this.#inspection.checkpoint(await inspectCheckpoint(checkpoint.files, { ...this.#options.options(), signal }))
      this.#go('ready')
      this.#start.disabled = false
      if (focusIsNowhere()) this.focus()
      this.surroundings.announce(`${checkpoint.name} can be converted`)
    } catch (error) {
      if (signal.aborted) return
      this.#inspection.clear()
      this.#options.hidden = ![...BY_OPTION, ...BY_RETRY].includes(codeOf(error))
      this.#go('ready')
      this.#fail(error, () => void this.#inspect())
    }
  }

  async #inspectModel(files: readonly File[]): Promise<void> {
    const { signal } = this.#begin('inspecting')
    this.#progress.start('Reading the weights')
    try {
      const report = await inspectModel(files, {
        signal,
        onProgress: (progress) => this.#progress.progress(progress, performance.now()),
      })
      this.#inspection.model(report)
      this.#use.disabled = !report.runs
      this.#go('model')
      this.focus()
      this.surroundings.announce(report.runs ? 'The model runs' : 'The model does not run')
    } catch (error) {
      if (this.#task?.signal !== signal) return
      if (codeOf(error) === 'aborted') this.close()
      else {
        this.#go('ready')
        this.#fail(error, () => void this.#inspectModel(files))
      }
    } finally {
      this.#progress.end()
    }
  }

  async #convert(): Promise<void> {
    const checkpoint = this.#checkpoint
    if (!checkpoint || this.#start.disabled) return
    const { signal } = this.#begin('converting')
    this.#progress.start(`Converting ${checkpoint.name}`)
    this.surroundings.announce('Converting')
    try {
      const { blob, report } = await convertCheckpoint(checkpoint.files, {
        ...this.#options.options(),
        signal,
        onProgress: (progress) => this.#progress.progress(progress, performance.now()),
      })
      this.#inspection.checkpoint(report)
      this.#adopt(new File([blob], fileName(checkpoint, report), { type: blob.type }))
      this.#go('done')
      this.focus()
      this.surroundings.announce('The file is ready')
    } catch (error) {
      this.#go('ready')
      this.#start.disabled = false
      this.focus()
      if (codeOf(error) === 'aborted') this.surroundings.announce('Conversion cancelled')
      else this.#fail(error, () => void this.#convert())
    } finally {
      this.#progress.end()
    }
  }

  async #verify(): Promise<void> {
    const [file, checkpoint] = [this.#file, this.#checkpoint]
    if (!file || !checkpoint) return
    const { signal } = this.#begin('done')
    setText(this.#verification, 'Comparing…')
    try {
      const found = await verifyModel(file, checkpoint.files, {
        signal,
        onProgress: ({ loaded, total }) =>
          setText(this.#verification, `Comparing… ${percent(loaded / (total ?? loaded))}`),
      })
      setText(this.#verification, inWords(found))
      this.surroundings.announce(inWords(found))
    } catch (error) {
      if (signal.aborted) return
      setText(this.#verification, '')
      this.#fail(error, () => void this.#verify())
    }
  }

  /** Ends what is under way, for something new. */
  #begin(step: Step): AbortController {
    this.#task?.abort()
    this.#task = new AbortController()
    this.#errors.hide()
    this.#start.disabled = true
    this.#go(step)
    return this.#task
  }

  #fail(error: unknown, again: () => void): void {
    this.#errors.show(error, BY_RETRY.includes(codeOf(error)) ? again : null)
  }

  #go(step: Step): void {
    this.#step = step
    this.#root.dataset['step'] = step
    byId('checkpoint-picker', HTMLElement).hidden = step !== 'choose'
    byId('checkpoint', HTMLElement).hidden = step === 'choose'
    byId('checkpoint-other', HTMLButtonElement).disabled = step === 'converting'
    byId('result', HTMLElement).hidden = step !== 'done' && step !== 'model'
    setText(byId('result-title', HTMLElement), step === 'model' ? 'A GGUF model' : 'The file is ready')
    this.#download.hidden = byId('verify', HTMLButtonElement).hidden = step === 'model'
    this.#start.hidden = step === 'done' || step === 'converting'
    this.#inspection.busy = step === 'inspecting'
    this.#options.enabled = step !== 'converting'
  }

  #adopt(file: File): void {
    this.#file = file
    this.#use.disabled = false
    this.#download.href = URL.createObjectURL(file)
    this.#download.download = file.name
    setText(byId('result-summary', HTMLElement), `${file.name}, ${bytes(file.size)}`)
  }

  #forgetFile(): void {
    if (this.#file) URL.revokeObjectURL(this.#download.href)
    this.#file = null
    this.#download.removeAttribute('href')
    setText(byId('result-summary', HTMLElement), '')
    setText(this.#verification, '')
  }
}

/** How a comparison ended. */
function inWords({ matrices, vectors, tokenizer, findings }: Verification): string {
  const problems = findings.filter(({ severity }) => severity === 'problem')
  if (problems.length > 0) return `Different: ${problems.map(({ message }) => message).join('; ')}`
  const worst = Math.min(1, ...matrices.map(({ cosine }) => cosine))
  return (
    `Equal: ${matrices.length} matrices, ${vectors} vectors and the tokens of ${tokenizer.texts} texts. ` +
    `The lowest cosine similarity of products is ${worst.toFixed(6)}.`
  )
}

/** The checkpoint's name and the commonest type of its matrices. */
function fileName({ name }: Checkpoint, { tensors }: CheckpointReport): string {
  const counts = new Map<string, number>()
  for (const { type, dims } of tensors) if (dims.length > 1) counts.set(type, (counts.get(type) ?? 0) + 1)
  const [commonest] = [...counts].sort(([, a], [, b]) => b - a)
  return `${name}-${(commonest?.[0] ?? 'model').toLowerCase()}.gguf`
}

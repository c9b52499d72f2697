/** Choosing a model: the embedded one, one of those served with the page, a URL, or a file. */

import { choiceOfUrl, TINY, type Choice } from './choice'
import { byId, el } from './dom'
import { bytes } from './format'

/** One entry of `models/manifest.json`. */
interface Bundled {
  readonly file: string
  readonly title: string
  readonly description: string
  readonly bytes: number
  readonly examples: readonly string[]
}

export class PickerView {
  readonly #bundled = new Map<string, Bundled>()
  readonly #form = byId('bundled-form', HTMLFormElement)

  constructor(private readonly choose: (choice: Choice) => void) {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault()
      const checked = this.#form.querySelector<HTMLInputElement>('input:checked')
      const picked = checked && this.#bundled.get(checked.value)
      this.choose(picked ? { source: modelUrl(picked.file), label: picked.title, examples: picked.examples } : TINY)
    })
    const url = byId('model-url', HTMLInputElement)
    byId('url-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault()
      this.choose(choiceOfUrl(url.value))
    })
    const file = byId('model-file', HTMLInputElement)
    file.addEventListener('change', () => {
      if (file.files) this.chooseFiles([...file.files])
      file.value = ''
    })
  }

  /** Adds the models that are served with the page to the list. */
  async list(): Promise<void> {
    const list = byId('bundled', HTMLFieldSetElement)
    for (const model of await fetchManifest()) {
      this.#bundled.set(model.file, model)
      list.append(
        el(
          'label',
          { class: 'choice', 'data-testid': 'bundled-model', 'data-file': model.file },
          el('input', { type: 'radio', name: 'bundled', value: model.file }),
          el('strong', {}, model.title),
          el('span', { class: 'figures' }, bytes(model.bytes)),
          el('span', { class: 'muted' }, model.description),
        ),
      )
    }
  }

  /** Puts the keyboard where a choice can be made. */
  focus(): void {
    const first = this.#form.querySelector('input:checked')
    if (first instanceof HTMLElement) first.focus()
    else byId('model-url', HTMLInputElement).focus()
  }

  /** One model's file or files. */
  chooseFiles(files: readonly File[]): void {
    const [first] = files
    if (!first) return
    const label = files.length === 1 ? first.name : `${first.name} and ${files.length - 1} more`
    this.choose({ source: files.length === 1 ? first : files, label, examples: [] })
  }
}

function modelUrl(file: string): string {
  return new URL(`models/${file}`, document.baseURI).href
}

async function fetchManifest(): Promise<readonly Bundled[]> {
  try {
    const response = await fetch(modelUrl('manifest.json'))
    if (!response.ok) return []
    const parse: (text: string) => { readonly models: readonly Bundled[] } = JSON.parse
    return parse(await response.text()).models
  } catch {
    return []
  }
}

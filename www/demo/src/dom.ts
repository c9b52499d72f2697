/** The few DOM helpers of the page. Text always goes in as text nodes: nothing here parses markup. */

/** The element of the page with this id, checked to be of the class that the caller works with. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} with id "${id}"`)
  return found
}

type Attributes = Readonly<Record<string, string | number | boolean>>

/** A new element. A `true` attribute is set empty, a `false` one left out; strings among the children become text. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? '' : String(value))
  }
  made.append(...children)
  return made
}

/** The part of `root` that a template marks with `data-part`. */
export function part<T extends HTMLElement>(root: HTMLElement, name: string, type: new () => T): T {
  const found = root.querySelector(`[data-part="${name}"]`)
  if (!(found instanceof type)) throw new Error(`#${root.id} has no ${type.name} "${name}"`)
  return found
}

/** The element with this id, filled with a copy of a template. */
export function fromTemplate(id: string, template: string): HTMLElement {
  const root = byId(id, HTMLElement)
  root.append(byId(template, HTMLTemplateElement).content.cloneNode(true))
  return root
}

/** Whether nothing that can be seen has the keyboard. What was hidden just now is still said to have it. */
export function focusIsNowhere(): boolean {
  const { activeElement, body } = document
  return activeElement === null || activeElement === body || !activeElement.checkVisibility()
}

/** Sets text only when it differs, so that nothing is laid out or announced twice. */
export function setText(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text
}

/**
 * Calls `draw` at most once per animation frame, however often it is asked for. Where drawing is slow (a long page, a busy
 * machine) frames are left out, so that it never takes more than a third of the time.
 */
export class FrameLoop {
  #frame = 0
  #notBefore = 0

  constructor(private readonly draw: () => void) {}

  request(): void {
    this.#frame ||= requestAnimationFrame((now) => {
      this.#frame = 0
      if (now < this.#notBefore) {
        this.request()
        return
      }
      const begun = performance.now()
      this.draw()
      const ended = performance.now()
      this.#notBefore = ended + 2 * (ended - begun)
    })
  }

  /** Draws now; hidden tabs get no animation frames. */
  flush(): void {
    cancelAnimationFrame(this.#frame)
    this.#frame = 0
    this.draw()
  }
}

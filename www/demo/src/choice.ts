/** A model that the user chose. */

import type { ModelSource } from 'webtern'

/** A model, and what the page can say about it before it is loaded. */
export interface Choice {
  readonly source: ModelSource
  readonly label: string
  /** Prompts that suit the model. */
  readonly examples: readonly string[]
}

/** The model that comes with the page. */
export const TINY: Choice = { source: 'tiny', label: 'tiny', examples: [] }

/** The model at a URL, named by the URL's last part. */
export function choiceOfUrl(address: string): Choice {
  const url = new URL(address, document.baseURI)
  return { source: url.href, label: decodeURIComponent(url.pathname.split('/').pop() || url.host), examples: [] }
}

/** Starts the page: connects buttons, keys and state, and loads the model that the address names, if any. */

import { App } from './app'
import { checkpointOfFiles } from './checkpoint'
import { Converter } from './converter'
import { byId, el, setText } from './dom'
import { acceptDrops } from './drops'
import { bytes, count } from './format'
import { Race } from './race'
import { VIEWS, type State, type Tab } from './state'
import { startTheme } from './theme'
import { choiceOfUrl, type Choice } from './view-picker'

const app = new App()
const converter = new Converter({ announce: (text) => app.announce(text), use: (choice) => run(choice) })
const race = new Race({
  announce: (text) => app.announce(text),
  choice: () => (app.store.state.model?.info.diffusion ? app.store.state.choice : null),
})
const prompt = byId('prompt', HTMLTextAreaElement)
const switcher = byId('switch', HTMLButtonElement)
const tabs: Readonly<Record<Tab, HTMLButtonElement>> = {
  chat: byId('tab-chat', HTMLButtonElement),
  completion: byId('tab-completion', HTMLButtonElement),
}

function submit(): void {
  const text = prompt.value
  if (!app.send(text)) return
  // A completion's prompt stays, to be tried again with other settings.
  if (app.store.state.tab === 'chat') prompt.value = ''
}

byId('composer', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  submit()
})
prompt.addEventListener('keydown', (event) => {
  // While an input method is composing, Enter belongs to it.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  submit()
})
byId('stop', HTMLButtonElement).addEventListener('click', () => app.stop())
byId('clear', HTMLButtonElement).addEventListener('click', () => {
  app.clear()
  app.focus()
})
byId('unload', HTMLButtonElement).addEventListener('click', () => void app.unload().then(() => app.focus()))
switcher.addEventListener('click', () => {
  app.store.set({ picking: !app.store.state.picking })
  app.focus()
})
byId('picker-close', HTMLButtonElement).addEventListener('click', () => {
  app.store.set({ picking: false })
  app.focus()
})
window.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') app.stop()
})

/** The view that the address names, as in `#convert`; the models where it names none. */
function followAddress(): void {
  const view = VIEWS.find((name) => location.hash === `#${name}`) ?? 'run'
  const before = app.store.state.view
  if (view === before) return
  app.store.set({ view })
  if (before === 'race') void race.leave()
  const shown = { run: app, race, convert: converter }[view]
  shown.focus()
}
window.addEventListener('hashchange', followAddress)

/** Loads a model, in the view where it will be seen. */
function run(choice: Choice): void {
  location.hash = 'run'
  followAddress()
  void app.load(choice)
}

acceptDrops({
  models: (files) => {
    if (app.store.state.view === 'convert') void converter.open(Promise.resolve(checkpointOfFiles(files)))
    else app.picker.chooseFiles(files)
  },
  checkpoint: (checkpoint) => {
    location.hash = 'convert'
    followAddress()
    void converter.open(checkpoint)
  },
})

for (const name of ['chat', 'completion'] as const) {
  const button = tabs[name]
  button.addEventListener('click', () => app.tab(name))
  button.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return
    const other: Tab = name === 'chat' ? 'completion' : 'chat'
    app.tab(other)
    tabs[other].focus()
  })
}

app.store.subscribe((state, before) => {
  const { view, phase, model, picking, tab } = state
  if (view === 'race' && model !== before.model) race.focus()
  document.body.dataset['phase'] = phase
  document.body.dataset['view'] = view
  for (const name of VIEWS) {
    const link = byId(`view-${name}`, HTMLAnchorElement)
    if (name === view) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  byId('picker', HTMLElement).hidden = model !== null && !picking
  byId('picker-close', HTMLButtonElement).hidden = model === null
  byId('workspace', HTMLElement).hidden = model === null || picking
  byId('model-chip', HTMLElement).hidden = model === null
  switcher.hidden = byId('unload', HTMLButtonElement).hidden = model === null
  switcher.setAttribute('aria-expanded', String(picking))
  if (model) {
    const { info } = model
    setText(byId('model-name', HTMLElement), info.name)
    setText(
      byId('model-summary', HTMLElement),
      `${count(info.parameters)} · ${info.quantisation} · ${bytes(info.memoryBytes)}`,
    )
  }

  for (const [name, button] of Object.entries(tabs)) {
    button.setAttribute('aria-selected', String(name === tab))
    button.tabIndex = name === tab ? 0 : -1
    button.disabled = phase === 'running' && name !== tab
  }
  byId('page', HTMLElement).setAttribute('aria-labelledby', `tab-${tab}`)
  setText(byId('prompt-label', HTMLElement), tab === 'chat' ? 'Message' : 'Text to continue')
  prompt.placeholder = tab === 'chat' ? 'Write a message' : 'Begin a text for the model to continue'
  byId('send', HTMLButtonElement).hidden = phase === 'running'
  byId('stop', HTMLButtonElement).hidden = phase !== 'running'
  byId('clear', HTMLButtonElement).hidden = app.pageIsEmpty || phase === 'running'
  invite(state)
})

/** What an empty page says, with prompts to start from. */
function invite({ tab, choice, model }: State): void {
  const place = byId('empty', HTMLElement)
  place.hidden = !app.pageIsEmpty || model === null
  if (place.hidden) return
  const examples = (choice?.examples ?? []).map((text) => {
    const button = el('button', { type: 'button', class: 'example', 'data-testid': 'example' }, text)
    button.addEventListener('click', () => {
      prompt.value = text
      prompt.focus()
    })
    return button
  })
  const words =
    tab === 'chat'
      ? 'Ask something. The answer is written on this computer.'
      : 'Begin a text, and the model goes on from there.'
  place.replaceChildren(words, ...(examples.length > 0 ? [el('span', { class: 'examples' }, ...examples)] : []))
}

startTheme()
followAddress()
void app.picker.list()
const asked = new URLSearchParams(location.search).get('model')
if (asked) void app.load(choiceOfUrl(asked))

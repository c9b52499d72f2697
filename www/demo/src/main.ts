/**
 * Starts the page: connects buttons, keys and state, and loads a model. In the address, `?model=` names another than the
 * embedded one (nothing: none), `?prompt=` is asked at once, and `#race` and `#convert` are the other views.
 */

import { App } from './app'
import { checkpointOfFiles } from './checkpoint'
import { Converter } from './converter'
import { byId, el, setText } from './dom'
import { acceptDrops } from './drops'
import { bytes, count } from './format'
import { Race } from './race'
import { VIEWS, type State, type Tab } from './state'
import { Suggestions } from './suggestions'
import { startTheme } from './theme'
import { choiceOfUrl, TINY, type Choice } from './choice'
import { SuggestionsView } from './view-suggestions'

const app = new App()
const converter = new Converter({ announce: (text) => app.announce(text), use: (choice) => run(choice) })
const race = new Race({ announce: (text) => app.announce(text), choice: () => raced(app.store.state) })
const prompt = byId('prompt', HTMLTextAreaElement)
const suggestions = new SuggestionsView(
  byId('suggestion-chips', HTMLElement),
  Suggestions.all(),
  (turns) => void app.say(turns),
)
const switcher = byId('switch', HTMLButtonElement)
let opened = false
const tabs: Readonly<Record<Tab, HTMLButtonElement>> = {
  chat: byId('tab-chat', HTMLButtonElement),
  completion: byId('tab-completion', HTMLButtonElement),
}

/** What can be raced: the model that is loaded, if it knows two ways to write, or the embedded one. */
function raced({ model, choice }: State): Choice | null {
  if (!model) return TINY
  return model.info.diffusion ? choice : null
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

byId('race-chip', HTMLButtonElement).addEventListener('click', () => {
  location.hash = 'race'
  followAddress()
  race.demonstrate()
})

/** The view that the address names, as in `#convert`; the models where it names none. */
function followAddress(): void {
  const view = VIEWS.find((name) => location.hash === `#${name}`) ?? 'run'
  if (view !== 'convert') open()
  const before = app.store.state.view
  if (view === before) return
  app.store.set({ view })
  if (before === 'race') void race.leave()
  const shown = { run: app, race, convert: converter }[view]
  shown.focus()
}
window.addEventListener('hashchange', followAddress)

/** When models are looked at for the first time, loads the one that the address names, or the embedded one. */
function open(): void {
  if (opened) return
  opened = true
  const parameters = new URLSearchParams(location.search)
  const model = parameters.get('model') ?? TINY.label
  if (model === '') return
  // As one reads it: since the page was asked for.
  void app.load(model === TINY.label ? TINY : choiceOfUrl(model), 0)
  const question = parameters.get('prompt')
  if (question !== null) void app.say([question])
}

/** Loads a model, in the view where it will be seen. */
function run(choice: Choice): void {
  opened = true
  void app.load(choice)
  location.hash = 'run'
  followAddress()
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
  const { view, phase, model, choice, picking, tab } = state
  if (view === 'race' && raced(state) !== raced(before)) race.focus()
  // The embedded model is there so soon that the page around it does not wait.
  const working = model !== null || (phase === 'loading' && choice === TINY)
  document.body.dataset['phase'] = phase
  document.body.dataset['view'] = view
  for (const name of VIEWS) {
    const link = byId(`view-${name}`, HTMLAnchorElement)
    if (name === view) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  byId('picker', HTMLElement).hidden = !picking && (model !== null || phase === 'loading')
  byId('picker-close', HTMLButtonElement).hidden = model === null
  byId('workspace', HTMLElement).hidden = !working || picking
  byId('model-chip', HTMLElement).hidden = byId('unload', HTMLButtonElement).hidden = model === null
  switcher.hidden = !working
  switcher.setAttribute('aria-expanded', String(picking))
  if (model) {
    const { info } = model
    setText(byId('model-name', HTMLElement), info.name)
    setText(
      byId('model-summary', HTMLElement),
      `${count(info.parameters)} · ${info.quantization} · ${bytes(info.memoryBytes)}`,
    )
  }

  for (const [name, button] of Object.entries(tabs)) {
    button.setAttribute('aria-selected', String(name === tab))
    button.tabIndex = name === tab ? 0 : -1
    button.disabled = phase === 'running' && name !== tab
  }
  byId('page', HTMLElement).setAttribute('aria-labelledby', `tab-${tab}`)
  setText(byId('prompt-label', HTMLElement), tab === 'chat' ? 'Message' : 'Text to continue')
  prompt.placeholder = tab === 'chat' ? 'Write a message' : 'Write the beginning of a text'
  byId('send', HTMLButtonElement).hidden = phase === 'running'
  byId('stop', HTMLButtonElement).hidden = phase !== 'running'
  byId('clear', HTMLButtonElement).hidden = app.pageIsEmpty || phase === 'running'
  invite(state)
})

/** What an empty page says, and what there is to ask. */
function invite({ tab, choice, phase }: State): void {
  const place = byId('empty', HTMLElement)
  const tiny = choice === TINY && tab === 'chat'
  const chips = byId('suggestions', HTMLFieldSetElement)
  chips.hidden = !tiny
  chips.disabled = phase === 'running'
  byId('dock', HTMLElement).toggleAttribute('data-compact', !app.pageIsEmpty)
  if (phase === 'ready') suggestions.follow(app.story)
  byId('tiny-invite', HTMLElement).hidden = !app.pageIsEmpty || !tiny
  place.hidden = !app.pageIsEmpty || tiny
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
      ? 'Ask a question. The model runs on this computer.'
      : 'Write the beginning of a text, and the model continues it.'
  place.replaceChildren(words, ...(examples.length > 0 ? [el('span', { class: 'examples' }, ...examples)] : []))
}

startTheme()
app.store.set({})
followAddress()
void app.picker.list()

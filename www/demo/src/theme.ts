/** Light, dark, or as the system says. */

import { byId } from './dom'

const KEY = 'webtern-theme'
const ORDER = ['system', 'light', 'dark'] as const
type Theme = (typeof ORDER)[number]

export function startTheme(): void {
  const button = byId('theme', HTMLButtonElement)
  let theme = ORDER.find((name) => name === stored()) ?? 'system'
  const apply = () => {
    if (theme === 'system') {
      delete document.documentElement.dataset['theme']
      delete button.dataset['choice']
    } else {
      document.documentElement.dataset['theme'] = theme
      button.dataset['choice'] = theme
    }
    button.setAttribute('aria-label', `Colors: ${theme}. Change to ${next(theme)}`)
    button.title = `Colors: ${theme}`
  }
  button.addEventListener('click', () => {
    theme = next(theme)
    store(theme)
    apply()
  })
  apply()
}

function next(theme: Theme): Theme {
  return ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? 'system'
}

// Storage may be switched off; the choice then lasts as long as the page.
function stored(): string | null {
  try {
    return localStorage.getItem(KEY)
  } catch {
    return null
  }
}

function store(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme)
  } catch {
    return
  }
}

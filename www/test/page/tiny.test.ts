/** The page with the embedded model, on the stand-in library: ready by itself, suggestions, what the model is told. */

import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { onPages } from './served.ts'

let page: Page
const served = onPages((opened) => {
  page = opened
})

const at = (id: string) => page.locator(`#${id}`)
const phase = (name: string) => page.waitForSelector(`body[data-phase=${name}]`)
const suggestions = () => page.locator('#suggestions [data-testid=suggestion]')
const suggestion = (task: string) => page.locator(`#suggestions [data-task=${task}]`)
const said = () => page.locator('.turn.you .said').allTextContents()

/** Opens the page; `search` is the end of its address. */
async function open(search = ''): Promise<void> {
  await page.goto(served.url + search)
  await phase('ready')
}

/** Clicks a suggestion and waits for all its answers. */
async function choose(task: string, answers: number): Promise<void> {
  await suggestion(task).click()
  await page.waitForFunction(
    (count) =>
      document.body.dataset['phase'] === 'ready' &&
      document.querySelectorAll('[data-testid=answer][data-finish]').length === count,
    answers,
  )
}

/** Who said what, in what the model was told last. */
const told = (): Promise<string[]> =>
  page.evaluate(() => (globalThis.lastRequest.messages ?? []).map(({ role, content }) => `${role}: ${content}`))

describe('the embedded model', () => {
  it('is there without a click, and the page says so', async () => {
    await open()
    expect(await at('model-name').textContent()).toBe('tiny')
    expect(await at('tiny-status').textContent()).toMatch(/^Ready in \d/)
    expect(await at('workspace').isVisible()).toBe(true)
    expect(await at('picker').isHidden()).toBe(true)
    expect(await page.evaluate(() => performance.getEntriesByName('webtern:ready').length)).toBe(1)
  })

  it('shows how far a slow load is, and answers what was asked meanwhile', async () => {
    await page.goto(`${served.url}?slow`)
    await at('tiny-status').filter({ hasText: 'of 1.22 MB' }).waitFor()
    const question = await suggestion('add').textContent()
    await suggestion('add').click()
    await at('tiny-status').filter({ hasText: 'when the model is ready' }).waitFor()
    await phase('running')
    await phase('ready')
    expect(await said()).toEqual([question])
  })

  it('answers a question in the address', async () => {
    await page.goto(`${served.url}?prompt=${encodeURIComponent('Are you fast?')}`)
    await page.waitForSelector('[data-testid=answer][data-finish]')
    expect(await said()).toEqual(['Are you fast?'])
    expect(await page.evaluate(() => performance.getEntriesByName('webtern:first-token').length)).toBe(1)
  })

  it('gives way to a model that is chosen while it loads', async () => {
    await page.goto(`${served.url}?slow`)
    await at('model-file').setInputFiles({ name: 'stories.gguf', mimeType: '', buffer: Buffer.from('GGUF') })
    await phase('ready')
    expect(await at('model-name').textContent()).toBe('stories260K')
    expect(await at('suggestions').isHidden()).toBe(true)
  })

  it('that cannot be had leaves the choice of others, and may be tried again', async () => {
    await page.goto(`${served.url}?not-gguf`)
    await at('error').waitFor()
    expect(await at('picker').isVisible()).toBe(true)
    await page.locator('#error [data-part=retry]').click()
    await at('error').waitFor()
    await at('model-file').setInputFiles({ name: 'mine.gguf', mimeType: '', buffer: Buffer.from('GGUF') })
    await phase('ready')
  })

  it('can be left for another, and chosen again', async () => {
    await open()
    await at('switch').click()
    expect(await at('picker').isVisible()).toBe(true)
    await at('picker-close').click()
    await at('unload').click()
    await phase('empty')
    await at('load-bundled').click()
    await phase('ready')
    expect(await at('model-name').textContent()).toBe('tiny')
  })
})

describe('suggestions', () => {
  it('are one of each task, are asked with a click, and change', async () => {
    await open()
    const tasks = await suggestions().evaluateAll((chips) => chips.map((chip) => chip.getAttribute('data-task')))
    expect(tasks.sort()).toEqual([
      ...['add', 'count', 'day', 'hello', 'month', 'opposite', 'other', 'recall', 'reverse', 'sort', 'spell'],
      ...['story', 'subtract', 'thanks'],
    ])
    const before = await suggestions().allTextContents()
    await at('suggestions').getByTestId('more-suggestions').click()
    const after = await suggestions().allTextContents()
    // Several stories lead to the same question.
    expect(after.filter((text) => before.includes(text) && !text.startsWith('A story, then'))).toEqual([])

    const question = await suggestion('sort').textContent()
    await choose('sort', 1)
    expect(await said()).toEqual([question])
    expect(await suggestion('sort').textContent()).not.toBe(question)
    expect(await at('tiny-invite').isHidden()).toBe(true)
  })

  it('tell a story before they ask about it, and then ask on', async () => {
    await open()
    expect(await suggestion('recall').textContent()).toMatch(/^A story, then: .*\?$/)
    await choose('recall', 2)
    const [story, question] = await said()
    expect(story).toMatch(/story about/)
    const messages = await told()
    expect(messages).toEqual([`user: ${story}`, expect.stringMatching(/^assistant: The tern/), `user: ${question}`])

    expect(await suggestions().first().getAttribute('data-task')).toBe('recall')
    expect(await suggestion('recall').textContent()).not.toContain('then')
    await choose('recall', 3)
    expect((await told()).slice(0, 2)).toEqual(messages.slice(0, 2))
    await choose('add', 4)
    expect(await told()).toHaveLength(1)
  })

  it('do not ask on when the story was stopped', async () => {
    await open()
    await suggestion('recall').click()
    await phase('running')
    await page.keyboard.press('Escape')
    await phase('ready')
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await said()).toHaveLength(1)
  })

  it('lead to a race', async () => {
    await open()
    await at('race-chip').click()
    await page.waitForSelector('body[data-view=race]')
    await at('race-verdict').filter({ hasText: 'was first' }).waitFor()
    const first = await at('race-prompt').inputValue()
    expect(first).toMatch(/story/)
    await at('race').locator('[data-task=count]').click()
    await at('race-verdict').filter({ hasText: 'was first' }).waitFor()
    expect(await at('race-prompt').inputValue()).toMatch(/^Count/)
  })
})

it('fits a narrow screen', async () => {
  await page.setViewportSize({ width: 360, height: 740 })
  await open()
  const width = () => page.evaluate(() => document.documentElement.scrollWidth)
  expect(await width()).toBeLessThanOrEqual(360)
  await choose('opposite', 1)
  expect(await width()).toBeLessThanOrEqual(360)
})

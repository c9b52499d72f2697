/** The race view, on the stand-in library. */

import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'
import { onPages } from './served.ts'

let page: Page
const served = onPages((opened) => {
  page = opened
})

const at = (id: string) => page.locator(`#${id}`)

/** Follows a link to a view. The page changes when it hears of the new address, which is a moment later. */
async function view(name: string): Promise<void> {
  await at(`view-${name}`).click()
  await page.waitForSelector(`body[data-view=${name}]`)
}

async function open(model: string): Promise<void> {
  await page.goto(`${served.url}?model=${model}`)
  await page.waitForSelector('body[data-phase=ready]')
  await view('race')
}

async function race(prompt: string): Promise<void> {
  await at('race-prompt').fill(prompt)
  await at('race-prompt').press('Enter')
}

const finish = (lane: string) => at(lane).getByTestId('answer').getAttribute('data-finish')

it('answers one prompt in two modes and says which was first', async () => {
  await open('dlm.gguf')
  await race('About terns, fast')
  await at('race-verdict')
    .filter({ hasText: /was first, after .* times as fast\. Both answers are the same\./ })
    .waitFor()
  for (const lane of ['lane-ar', 'lane-adaptive']) {
    expect(await at(lane).getByTestId('output').textContent()).toMatch(/^The tern is a seabird/)
    expect(await at(`${lane}-clock`).textContent()).toMatch(/s$/)
  }
  const passes = async (lane: string) => Number(await at(`${lane}-passes`).textContent())
  expect(await passes('lane-adaptive')).toBeLessThan(await passes('lane-ar'))
})

it('shows a short race again, slower, with the same outcome', async () => {
  await open('dlm.gguf')
  await race('About terns, fast')
  await at('race-verdict').filter({ hasText: 'was first' }).waitFor()
  const figures = () => page.locator('.lanes dd').allTextContents()
  const [verdict, before] = [await at('race-verdict').textContent(), await figures()]
  await at('race-again').click()
  await at('lane-adaptive').locator('.mask').first().waitFor()
  await at('race-stop').waitFor()
  await at('race-again').waitFor()
  expect(await figures()).toEqual(before)
  expect(await at('race-verdict').textContent()).toBe(verdict)
  await at('race-again').click()
  await at('race-stop').click()
  await at('race-start').waitFor()
  expect(await finish('lane-adaptive')).toMatch(/stop|length/)
})

it('fits a narrow screen', async () => {
  await page.setViewportSize({ width: 360, height: 700 })
  await open('dlm.gguf')
  await race('fast')
  await at('race-verdict').filter({ hasText: 'was first' }).waitFor()
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360)
})

it('stops both lanes, and races again', async () => {
  await open('dlm.gguf')
  await race('slow')
  await at('lane-adaptive').locator('.mask').first().waitFor()
  await at('race-stop').click()
  await at('race-start').waitFor()
  expect([await finish('lane-ar'), await finish('lane-adaptive')]).toEqual(['abort', 'abort'])
  expect(await at('race-verdict').textContent()).toBe('')
  await race('fast')
  await at('race-verdict').filter({ hasText: 'was first' }).waitFor()
})

it('shows what goes wrong, and ends when the view is left', async () => {
  await open('dlm.gguf')
  await race('crash')
  await at('race-error').waitFor()
  expect(await at('race-error').getAttribute('data-code')).toBe('crashed')
  await page.locator('#race-error [data-part=dismiss]').click()
  await race('slow')
  await at('lane-ar').getByTestId('answer').waitFor()
  await view('run')
  expect(await at('race').isHidden()).toBe(true)
  await view('race')
  await at('race-start').waitFor()
})

it('asks for a diffusion model where there is none', async () => {
  await open('stories.gguf')
  expect(await at('race-verdict').textContent()).toMatch(/^Load a diffusion model/)
  expect(await at('race-start').isDisabled()).toBe(true)
})

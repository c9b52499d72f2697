/** The built demo page. */

import type { Page } from 'playwright-core'
import type { Site } from './site.ts'

/** Goes to the demo and waits until it has loaded `model`, an address relative to it. */
export async function openDemo(page: Page, site: Site, model: string): Promise<void> {
  await page.goto(`${site.url}demo/?model=${encodeURIComponent(model)}`)
  await page.waitForSelector('body[data-phase=ready], #error:not([hidden])')
  if (await page.locator('#error').isVisible()) throw new Error(await page.locator('#error').innerText())
}

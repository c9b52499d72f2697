/** The built demo page. */

import type { Browser, Page } from 'playwright-core'
import type { Site } from './site.ts'

/** Opens the demo and waits until it has loaded `model`, an address relative to the page. */
export async function openDemo(
  browser: Browser,
  site: Site,
  model: string,
  viewport = { width: 1200, height: 800 },
): Promise<Page> {
  const page = await browser.newPage({ viewport })
  await page.goto(`${site.url}demo/?model=${encodeURIComponent(model)}`)
  await page.waitForSelector('body[data-phase=ready], #error:not([hidden])')
  if (await page.locator('#error').isVisible()) throw new Error(await page.locator('#error').innerText())
  return page
}

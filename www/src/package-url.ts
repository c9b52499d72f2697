/**
 * The address of a file of this package. Next.js with webpack makes URLs whose `href` is a mere
 * path.
 */
export function packageUrl(url: URL): string {
  return url.href.startsWith('/') ? new URL(url.href, globalThis.origin).href : url.href
}

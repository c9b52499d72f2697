/** Made by `suggestions-plugin.ts`. */
declare module 'virtual:suggestions' {
  /** By task: what the person says, turn by turn. */
  export const suggestions: Readonly<Record<string, readonly (readonly string[])[]>>
}

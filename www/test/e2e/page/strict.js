// A page whose server allows next to nothing. What is refused all the same is collected.

import * as webtern from '/dist/index.js'

const violations = []
document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) =>
  violations.push(`${effectiveDirective} ${blockedURI}`),
)
Object.assign(globalThis, { webtern, violations })

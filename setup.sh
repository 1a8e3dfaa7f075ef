#!/bin/sh
# Brings a bare Debian or Ubuntu machine to where `deno task test` works: Deno, a Vulkan driver, and
# the packages of deno.lock. Run it again whenever you like: it does only what is missing. Deno of
# another version is replaced. Elsewhere it installs Deno where npm or curl and unzip are, no driver.
set -eu
cd "$(dirname "$0")"
DENO_VERSION=2.9.6

say() { echo "setup: $*"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
  say "need root for: $*"; exit 1; fi; }
apt_install() {
  command -v apt-get >/dev/null || { say "no apt-get here: install $* by hand"; exit 1; }
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  say "installed $*"
}
deno_is_right() { [ "$(deno --version 2>/dev/null | sed -n 's/^deno \([0-9.]*\).*/\1/p')" = "$DENO_VERSION" ]; }

install_from_npm() {
  npm install --silent --global "deno@$DENO_VERSION" || as_root npm install --silent --global "deno@$DENO_VERSION"
  say "installed Deno $DENO_VERSION from npm"
}
install_from_deno() {
  missing=""
  for tool in curl unzip; do command -v $tool >/dev/null || missing="$missing $tool"; done
  # shellcheck disable=SC2086 # two words are two packages
  [ -z "$missing" ] || apt_install ca-certificates $missing
  installer=$(mktemp)
  curl -fsSL --connect-timeout 20 -o "$installer" https://deno.land/install.sh &&
    sh "$installer" -y "v$DENO_VERSION" >/dev/null && as_root ln -sf "$HOME/.deno/bin/deno" /usr/local/bin/deno || return 1
  say "installed Deno $DENO_VERSION, linked from /usr/local/bin"
}

# Deno: from npm where it is, else by Deno's own installer, else from apt's npm.
PATH="$HOME/.deno/bin:$PATH"
if deno_is_right; then
  say "Deno $DENO_VERSION is there"
elif command -v npm >/dev/null; then
  install_from_npm
elif ! install_from_deno; then
  say "Deno's installer cannot be had, taking npm from apt"
  apt_install npm
  install_from_npm
fi
deno_is_right || { say "deno $DENO_VERSION did not install, found: $(deno --version 2>&1 | head -n 1)"; exit 1; }

# A WebGPU adapter: the machine's own driver, else Mesa's software one. On Linux it must be Vulkan's,
# as for kernels/gpu.ts: Mesa's OpenGL alone would answer too, with too few bindings for the kernels.
[ "$(uname)" != Linux ] || export DENO_WEBGPU_BACKEND="${DENO_WEBGPU_BACKEND:-vulkan}"
adapter() {
  deno eval 'const a = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!a) Deno.exit(1); console.log(a.info.description);' 2>/dev/null
}
if name=$(adapter); then
  say "adapter: $name"
elif [ "$(uname)" = Linux ]; then
  apt_install mesa-vulkan-drivers libvulkan1
  name=$(adapter) || { say "no WebGPU adapter answers even with Mesa's software driver"; exit 1; }
  say "adapter: $name"
else
  say "no WebGPU adapter answers: install a Metal, D3D12 or Vulkan driver"; exit 1
fi

deno install --quiet --frozen
say "packages of deno.lock are there; ready"

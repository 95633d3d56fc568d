#!/bin/sh
# Packs what a machine with a GPU needs that has neither our packages nor a compiler: the test program, the benchmark, the
# command and their shared libraries, in one archive.
#
#     sh tools/gpu/pack.sh BUILD_FOLDER [OUT_FOLDER]     -> OUT_FOLDER/lyre-gpu.tar.xz (default build/gpu-pack)
#
# The C library, CUDA's libraries and the driver's are taken from that machine; everything else travels.
set -eu
build=${1:?the build folder}
out=${2:-build/gpu-pack}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" "$work/lyre-gpu/bin" "$work/lyre-gpu/lib" "$work/lyre-gpu/lib-cxx"

for program in tests/gpu/gpu_test bin/cuda_bench bin/lyre; do
  [ -x "$build/$program" ] || { echo "pack.sh: $build/$program is not built" >&2; exit 1; }
  cp "$build/$program" "$work/lyre-gpu/bin/"
done

# The libraries of all three, each once. One that is missing here is an error, except the driver's.
ldd "$work"/lyre-gpu/bin/* | awk '$2 == "=>" { print $1, $3 }' | sort -u | while read -r name path; do
  case $name in
    libc.so* | libm.so* | libmvec.so* | libpthread.so* | libdl.so* | librt.so* | libresolv.so* | ld-linux* | linux-vdso*) continue ;;
    libcublas* | libcudart* | libcuda.so* | libnvidia*) continue ;;
  esac
  [ -f "$path" ] || { echo "pack.sh: no $name here" >&2; exit 1; }
  case $name in
    libstdc++* | libgcc_s*) cp -L "$path" "$work/lyre-gpu/lib-cxx/$name" ;;
    *) cp -L "$path" "$work/lyre-gpu/lib/$name" ;;
  esac
done
strip "$work"/lyre-gpu/bin/* "$work"/lyre-gpu/lib/* "$work"/lyre-gpu/lib-cxx/*

cat > "$work/lyre-gpu/run" <<'START'
#!/bin/sh
# run PROGRAM ARGUMENTS...: a packed program with the packed libraries; CUDA's from the toolkit, else from PyTorch's.
here=$(cd "$(dirname "$0")" && pwd)
# Found once. Our C++ library is taken only if the programs do not start with the machine's own, which the tools around
# them (sanitizer, profiler) were made for.
[ -f "$here/library-path" ] || {
  torch=$(python3 -c '
import importlib.util as u
spec = u.find_spec("nvidia")
print(":".join(f"{p}/{d}/lib" for p in (spec.submodule_search_locations if spec else []) for d in ("cu13", "cublas")))' 2> /dev/null)
  path="$here/lib:/usr/local/cuda/lib64:/usr/local/cuda/lib:$torch"
  LD_LIBRARY_PATH="$path" "$here/bin/cuda_bench" 2>&1 | grep -q '^cuda_bench: ' || path="$here/lib-cxx:$path"
  echo "$path" > "$here/library-path"
}
program=$1
shift
LD_LIBRARY_PATH="$(cat "$here/library-path")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$here/bin/$program" "$@"
START
cat > "$work/lyre-gpu/lyre" <<'START'
#!/bin/sh
exec "$(dirname "$0")/run" lyre "$@"
START
chmod +x "$work/lyre-gpu/run" "$work/lyre-gpu/lyre"

tar -C "$work" -cf - lyre-gpu | xz -9 -T2 > "$out/lyre-gpu.tar.xz"
size=$(wc -c < "$out/lyre-gpu.tar.xz")
echo "$out/lyre-gpu.tar.xz: $((size / 1024)) KiB, from $(du -sk "$work/lyre-gpu" | cut -f1) KiB"
du -k "$work"/lyre-gpu/bin/* "$work"/lyre-gpu/lib/* | sort -rn | head -8 | sed "s|$work/||"
[ "$size" -le 20971520 ] || { echo "pack.sh: more than 20 MiB" >&2; exit 1; }

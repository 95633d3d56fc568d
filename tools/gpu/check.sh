#!/bin/bash
# What runs on a machine with a GPU, out of the archive of tools/gpu/pack.sh and this working tree; nothing is built or
# installed there.
#
#     bash tools/gpu/check.sh STAGE...      of: tests sanitize model golden bench pytorch serve streams profile voice
#
# Each stage has a time limit of its own and goes on after a failure; a summary comes last. Logs and figures are kept in
# $OUT/logs.tgz, the table and the speech beside it ($OUT, default build/gpu-out). Settings, by environment:
#   VOICE      folder of the random 3B voice, made once (/tmp/voice3b)      FILTER    gtest filter of `tests`
#   SANITIZE   gtest filter of `sanitize`                                   SHARDS    test processes side by side (4)
#   BENCH_FLAGS, PYTORCH_FLAGS, SERVE_FLAGS    further arguments            PROFILE   arguments of the profiled benchmark
#   BACKEND    cpu tries the stages themselves without a GPU (cuda), GOLDEN_FLAGS as well
set -u
cd "$(dirname "$0")/../.." || exit
root=$PWD
out=${OUT:-build/gpu-out}
voice=${VOICE:-/tmp/voice3b}
logs=/tmp/lyre-gpu-logs
golden=/tmp/lyre-big-golden.safetensors
backend=${BACKEND:-cuda}
mkdir -p "$out" "$logs"
export LYRE_SOURCE_DIR=$root PYTHONUNBUFFERED=1
export PATH=$PATH:/usr/local/cuda/bin

archive=build/gpu-pack/lyre-gpu.tar.xz
pack=/tmp/lyre-gpu
if [ -f "$archive" ] && ! cmp -s "$archive" $pack/archive; then
  rm -rf $pack && tar -C /tmp -xf "$archive" && cp "$archive" $pack/archive
fi
[ -x $pack/run ] || { echo "check.sh: no $archive" >&2; exit 1; }
# Also finds the libraries, once, before programs start side by side.
$pack/run cuda_bench 2>&1 | grep -q '^cuda_bench: ' || { echo "check.sh: the packed programs do not start:" >&2; $pack/run cuda_bench; exit 1; }
if ls .whl/*.whl > /dev/null 2>&1 && [ ! -d /tmp/site ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target /tmp/site .whl/*.whl
fi
export PYTHONPATH=/tmp/site

summary=()
say() { echo "== $*"; }
# note STAGE STATUS SECONDS WORDS
note() { summary+=("$(printf '%-9s %-9s %4d s  %s' "$1" "$([ "$2" = 0 ] && echo ok || { [ "$2" = 124 ] && echo 'TIMED OUT' || echo "FAILED $2"; })" "$3" "$4")"); }
# limited STAGE SECONDS LOG COMMAND...: output into the log; leaves status and seconds.
limited() {
  local begin=$SECONDS limit=$2 log=$logs/$3
  say "$1: ${*:4}" | cut -c1-200
  timeout -k 5 "$limit" "${@:4}" > "$log" 2>&1
  status=$?
  seconds=$((SECONDS - begin))
}

stage_tests() {
  local shards=${SHARDS:-4} begin=$SECONDS pids=() status=0 one
  for ((i = 0; i < shards; ++i)); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i timeout -k 5 280 $pack/run gpu_test \
      --gtest_filter="${FILTER:-*}" > "$logs/tests.$i.log" 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; one=$?; [ $one = 0 ] || status=$one; done
  cat "$logs"/tests.*.log > "$logs/tests.log"
  # What failed, with what it said; figures that tests print.
  grep -hE '^[a-z_A-Z0-9/.-]*[^ ]*:[0-9]+: Failure' -A 8 "$logs/tests.log" | cut -c1-220 | head -90
  grep -hE '^\[  FAILED  \]|Error|terminate|Segmentation|CHECK' "$logs/tests.log" | sort -u | cut -c1-200 | head -60
  grep -hE ' dB|as PyTorch' "$logs/tests.log" | head -30
  note tests $status $((SECONDS - begin)) "$(grep -c '^\[       OK' "$logs/tests.log") passed, $(grep -cE '^\[  FAILED  \].*ms\)' "$logs/tests.log") failed, $(grep -cE '^\[  SKIPPED \].*ms\)' "$logs/tests.log") skipped"
  grep -h 'ms)' "$logs/tests.log" | sed -E 's/.* ([A-Za-z].*) \(([0-9]+) ms\)/\2 ms \1/' | sort -rn | head -5
}

stage_sanitize() {
  local filter=${SANITIZE:-'*ModelShapes.Decodes/one_kv_head_*:*ModelShapes.ManySequences/one_kv_head_bf16:*ModelShapes.ManySequences/wide_heads_fp8:*Codec*iny*:*Draw*Codes64*:*Draw*All33*:*DeviceWeights*:-*EverySampleOfEveryLength*:*CloseAtEveryStep*:*StreamPlan*'}
  local begin=$SECONDS pids=() tools=(memcheck racecheck initcheck) worst=0
  for tool in "${tools[@]}"; do
    timeout -k 5 170 compute-sanitizer --target-processes all --tool "$tool" --print-limit 20 --error-exitcode 9 $pack/run gpu_test \
      --gtest_filter="$filter" > "$logs/sanitize.$tool.log" 2>&1 &
    pids+=($!)
  done
  for ((i = 0; i < ${#tools[@]}; ++i)); do
    wait "${pids[$i]}"; status=$?
    [ $status = 0 ] || worst=$status
    say "${tools[$i]}: $status, $(grep -c '^\[       OK' "$logs/sanitize.${tools[$i]}.log") tests"
    grep -E '^=========' "$logs/sanitize.${tools[$i]}.log" | grep -vE 'Host Frame|COMPUTE-SANITIZER$|Saved host' | cut -c1-180 | head -30
  done
  note sanitize $worst $((SECONDS - begin)) "$(grep -h 'SUMMARY' "$logs"/sanitize.*.log | tr -s '=' ' ' | tr '\n' ';')"
}

need_model() { [ -f "$voice/codec/config.json" ] || stage_model; }
stage_model() {
  if [ -f "$voice/codec/config.json" ]; then note model 0 0 "is there"; return; fi
  limited model 200 model.log python3 tools/make_random_voice.py "$voice"
  [ $status = 0 ] || { tail -5 "$logs/model.log"; rm -rf "$voice/codec"; }
  note model $status $seconds "$(du -sm "$voice" | cut -f1) MiB"
}

stage_golden() {
  need_model
  if [ ! -f $golden ]; then
    limited golden 240 golden.log python3 tools/gpu/dump_big_golden.py "$voice/lm" $golden ${GOLDEN_FLAGS:-}
    grep -E '^prompt|MB' "$logs/golden.log" || tail -5 "$logs/golden.log"
    note golden $status $seconds "PyTorch's"
    [ $status = 0 ] || { rm -f $golden; return; }
  fi
  LYRE_BIG_MODEL=$voice/lm LYRE_BIG_GOLDEN=$golden limited golden 240 big_model.log $pack/run gpu_test --gtest_filter='*BigModel*'
  grep -vE '^\[ RUN|^\[---|^Note|^$' "$logs/big_model.log" | cut -c1-220 | tail -60
  note golden $status $seconds "lyre's"
}

stage_bench() {
  need_model
  local kind
  for kind in stored: fp8: fp8:fp8 stored:fp8; do
    local weights=${kind%%:*} kv=${kind##*:} parts=first,lm,both
    [ "$kind" = stored: ] && parts=first,lm,codec,both
    local name=bench_$weights${kv:+_kv}
    limited bench 130 "$name.log" sh -c 'out=$1; shift; exec "$@" > "$out"' sh "$logs/$name.json" \
      $pack/run cuda_bench "$voice/lm" "$voice/codec" --weights "$weights" --kv "${kv:-default}" --parts $parts \
      --backend "$backend" ${BENCH_FLAGS:-}
    cat "$logs/$name.log"
    [ -s "$logs/$name.json" ] || rm -f "$logs/$name.json"
    note bench $status $seconds "weights $weights, kv ${kv:-default}"
  done
  # The same without its warm-up: what the warm-up is for.
  limited bench 60 bench_cold.log sh -c 'out=$1; shift; exec "$@" > "$out"' sh "$logs/cold.json" \
    $pack/run cuda_bench "$voice/lm" "$voice/codec" --backend "$backend" --parts first --warmup 0
  cat "$logs/bench_cold.log"
  note bench $status $seconds "without warm-up"
  compare
}

stage_pytorch() {
  need_model
  local part
  # Processes of their own: the first call of a fresh one is measured.
  for part in codec lm; do
    limited pytorch 200 "pytorch_$part.log" python3 tools/gpu/bench_pytorch.py "$voice/lm" "$voice/codec" --parts $part \
      --out "$logs/pytorch_$part.json" ${PYTORCH_FLAGS:-}
    grep -v 'Loading' "$logs/pytorch_$part.log" | cut -c1-160 | tail -50
    note pytorch $status $seconds $part
  done
  compare
}

compare() {
  local files
  mapfile -t files < <(ls "$logs"/bench_*.json "$logs"/pytorch_*.json 2> /dev/null)
  [ ${#files[@]} -gt 0 ] || return
  python3 tools/gpu/compare.py "${files[@]}" > "$out/table.md" || true
}

stage_serve() {
  need_model
  limited serve 200 serve.log python3 tools/gpu/bench_serve.py $pack/lyre "$voice" --out "$logs/serve.json" --flags "--backend $backend ${SERVE_FLAGS:-}"
  tail -12 "$logs/serve.log"
  note serve $status $seconds "$(grep 'fast start on' "$logs/serve.log" | cut -c1-60)"
}

stage_streams() {
  need_model
  local kv
  for kv in default fp8; do
    limited streams 120 "streams_$kv.log" python3 tools/gpu/bench_streams.py $pack/lyre "$voice" --out "$logs/streams_$kv.json" \
      --flags "--backend $backend --kv $kv --max-batch 384 --max-queue 512" ${STREAMS_FLAGS:-}
    tail -3 "$logs/streams_$kv.log" | cut -c1-400
    note streams $status $seconds "kv $kv"
  done
}

stage_profile() {
  need_model
  local metrics=gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed,dram__bytes_read.sum,sm__throughput.avg.pct_of_peak_sustained_elapsed,launch__registers_per_thread
  local plan name
  for plan in "lm1:--parts lm --batches 1 --prompts 48 --steps 2" "lm64:--parts lm --batches 64 --prompts 48 --steps 1 --context 100" \
    "codec:--parts codec --batches 1,216 --pushes 2"; do
    name=${plan%%:*}
    limited profile 100 "profile_$name.csv" ncu --target-processes all --clock-control none --csv --page raw --metrics $metrics --launch-count 3000 \
      $pack/run cuda_bench "$voice/lm" "$voice/codec" --warmup 0 ${plan#*:} ${PROFILE:-}
    say "$name"
    python3 tools/gpu/profile_table.py "$logs/profile_$name.csv" | head -25 || tail -5 "$logs/profile_$name.csv"
    note profile $status $seconds "$name"
  done
}

stage_voice() {
  rm -rf /tmp/lyre-voices
  limited voice 150 voice.log python3 tools/gpu/word_error.py speak $pack/lyre /tmp/lyre-voices
  tail -3 "$logs/voice.log"
  # In pieces: cat voices.txz.* | tar -xJ
  tar -C /tmp -c lyre-voices | xz -T0 -2 | split -b 15M - "$out/voices.txz."
  note voice $status $seconds "$(find /tmp/lyre-voices -name '*.wav' | wc -l) sentences"
}

[ $# -gt 0 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2; }
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm --format=csv,noheader 2> /dev/null
for stage in "$@"; do
  declare -F "stage_$stage" > /dev/null || { note "$stage" 2 0 "no such stage"; continue; }
  say "stage $stage"
  "stage_$stage"
done
tar -C /tmp -czf "$out/logs.tgz" lyre-gpu-logs
[ -s "$out/table.md" ] && [[ " $* " =~ \ (bench|pytorch)\  ]] && head -60 "$out/table.md"
echo
printf '%s\n' "${summary[@]}"
[[ ! "${summary[*]}" =~ FAILED|TIMED ]]

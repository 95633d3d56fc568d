#!/usr/bin/env bash
# `make demo`: one sentence with the demo voice, its times, and how to go on.
set -euo pipefail
lyre=$1

"$lyre" say "Hello! I am a small voice, and every word you hear was made on this machine." --voice ada --seed 1 \
  --output hello.wav --timings

cat <<EOF

hello.wav is written: play it with any player.

  Speak            $lyre say "Any sentence you like." -o out.wav
  Serve            $lyre serve
                   curl http://127.0.0.1:9090/v1/audio/speech -d '{"input": "Hello there.", "voice": "ada"}' -o out.mp3
  Your own voice   $lyre say "Hello." --model ORPHEUS_FOLDER --codec SNAC_FOLDER -o out.wav
  What is in it    $lyre inspect ORPHEUS_FOLDER
  Measure          $lyre bench
EOF

// The codec is warmed up while the engine opens: no request pays for its first decode.
#include <lyre/lyre.h>

#include <iostream>

int fail(const lyre::Error& error) {
  std::cerr << error.message << '\n';
  return 1;
}

int main() {
  lyre::configure_logging({.level = lyre::LogLevel::kInfo});  // shows the warm-up's lines
  auto config = lyre::voice_config(LYRE_DEMO_VOICE);          // a folder with lm/ and codec/
  if (!config) return fail(config.error());
  auto engine = lyre::Engine::open(*config);
  if (!engine) return fail(engine.error());
  for (const char* file : {"first.wav", "second.wav"}) {
    auto spoken = lyre::speak_to_wav(**engine, {.text = "Hello there."}, file);
    if (!spoken) return fail(spoken.error());
    std::cout << file << ": first audio after " << spoken->first_audio_ms << " ms\n";
  }
}

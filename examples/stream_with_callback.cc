// stream_with_callback TEXT | aplay -f FLOAT_LE -r 24000: heard while it is made
#include <lyre/lyre.h>

#include <cstdio>
#include <iostream>

int fail(const lyre::Error& error) {
  std::cerr << error.message << '\n';
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto config = lyre::voice_config(LYRE_DEMO_VOICE);
  if (!config) return fail(config.error());
  auto engine = lyre::Engine::open(*config);
  if (!engine) return fail(engine.error());
  auto spoken = lyre::speak(**engine, {.text = argv[1]}, [](std::span<const float> samples) {
    const size_t written = std::fwrite(samples.data(), sizeof(float), samples.size(), stdout);
    return written == samples.size() && std::fflush(stdout) == 0;  // false ends the speech
  });
  if (!spoken) return fail(spoken.error());
}

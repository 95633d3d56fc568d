// speak_to_file TEXT FILE.wav
#include <lyre/lyre.h>

#include <iostream>

int fail(const lyre::Error& error) {
  std::cerr << error.message << '\n';
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto config = lyre::voice_config(LYRE_DEMO_VOICE);
  if (!config) return fail(config.error());
  auto engine = lyre::Engine::open(*config);
  if (!engine) return fail(engine.error());
  lyre::SynthesisRequest request{.text = argv[1]};
  request.sampling.seed = 7;  // the same seed gives the same file
  auto spoken = lyre::speak_to_wav(**engine, request, argv[2]);
  if (!spoken) return fail(spoken.error());
  if (spoken->reason == lyre::FinishReason::kLength) std::cerr << "cut at a limit of tokens\n";
}

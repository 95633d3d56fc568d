// Nothing is warmed up while the engine opens; warmup_models() does it when the program likes.
#include <lyre/lyre.h>

#include <iostream>

int fail(const lyre::Error& error) {
  std::cerr << error.message << '\n';
  return 1;
}

int main() {
  auto config = lyre::voice_config(LYRE_DEMO_VOICE);
  if (!config) return fail(config.error());
  config->snac_warmup = false;  // as ENABLE_SNAC_WARMUP=false in the environment
  auto engine = lyre::Engine::open(*config);
  if (!engine) return fail(engine.error());
  const lyre::WarmupReport report = (*engine)->warmup_models();
  for (const lyre::WarmupStepReport& step : report.steps) {
    std::cout << step.name << ": " << lyre::warmup_outcome_name(step.outcome) << " after "
              << step.duration_ms << " ms " << step.error << '\n';
  }
  std::cout << (report.warm ? "warm" : "not warm") << " after " << report.total_ms << " ms\n";
}

#include "lyre/command.h"

#include <cstdio>
#include <exception>
#include <string>

#include "lyre/base/trace.h"
#include "lyre/build_info.h"
#include "lyre/exit_code.h"
#include "lyre/start_timeline.h"
#include "lyre/subcommand.h"

namespace lyre::command {
namespace {

int parse_and_run(int argc, const char* const* argv) {
  CLI::App app("lyre speaks: text in, speech out, with Orpheus-type models and the SNAC codec.",
               "lyre");
  app.set_version_flag("--version",
                       std::string("lyre ") + kVersion + " (" + kCommit + ", " + kCompiler + ")");
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  app.footer(
      "Examples:\n"
      "  lyre say \"Hello there.\" -o hello.wav       speak with the demo voice\n"
      "  lyre serve                                 the same over HTTP, on port 9090\n"
      "  lyre inspect ORPHEUS_FOLDER                what is in a model\n"
      "'lyre COMMAND --help' describes a command.\n"
      "Exit codes: 0 done, 1 input/output error, 2 wrong use or text, 3 model cannot be loaded,\n"
      "4 speech was cut at a limit, 130 interrupted.");
  int exit_code = kExitOk;
  add_say(app, exit_code);
  add_serve(app, exit_code);
  add_bench(app, exit_code);
  add_warmup_demo(app, exit_code);
  add_profile(app, exit_code);
  add_inspect(app, exit_code);
  add_codec(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& wrong) {
    std::string name = "lyre";
    for (const CLI::App* used : app.get_subcommands()) name += " " + used->get_name();
    print_error(std::string(wrong.what()) + "\nTry '" + name + " --help'.");
    return kExitUsage;
  }
  return exit_code;
}

}  // namespace

int run(int argc, const char* const* argv) {
  program_start();
  trace::name_thread("main");
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& failure) {  // memory ran out, or a file system misbehaves
    print_error(failure.what());
    return kExitFailed;
  }
}

}  // namespace lyre::command

#include "lyre/own_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

extern char** environ;

namespace lyre::command {
namespace {

Error system_error(const char* what, int number) {
  return {ErrorCode::kInternal, std::string(what) + ": " + std::strerror(number)};
}

/// Until the other end is closed.
std::string read_to_end(int descriptor) {
  std::string text;
  std::array<char, 4096> part;
  for (;;) {
    const ssize_t count = ::read(descriptor, part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(part.data(), static_cast<size_t>(count));
  }
}

Result<int> wait_for(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0) {
    if (errno != EINTR) return system_error("waitpid", errno);
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Result<std::vector<std::string>> own_arguments() {
  std::ifstream stream("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(stream, word, '\0');) words.push_back(word);
  if (words.empty()) return Error{ErrorCode::kInternal, "/proc/self/cmdline cannot be read"};
  words.erase(words.begin());
  return words;
}

Result<ProcessEnd> run_own_program(const std::vector<std::string>& arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error("pipe2", errno);
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "lyre");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t process = 0;
  const int failure =
      ::posix_spawn(&process, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (failure != 0) {
    ::close(ends[0]);
    return system_error("cannot start a process", failure);
  }
  ProcessEnd end;
  end.output = read_to_end(ends[0]);
  ::close(ends[0]);
  LYRE_ASSIGN_OR_RETURN(end.exit_code, wait_for(process));
  return end;
}

}  // namespace lyre::command

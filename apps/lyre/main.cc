#include "lyre/command.h"

int main(int argc, char** argv) { return lyre::command::run(argc, argv); }

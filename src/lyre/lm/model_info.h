#pragma once

#include "lyre/lm/language_model.h"
#include "lyre/lm/llama_config.h"
#include "lyre/lm/open_language_model.h"
#include "lyre/lm/sequence_table.h"

namespace lyre {

/// Checks the limits and fills in what depends on the model: the context is at most what the model
/// was made for, and the KV pool defaults to full length for every sequence.
Result<LanguageModelOptions> settle_options(const LanguageModelOptions& options,
                                            const LlamaConfig& config);

// Of settled options.
SequenceTable::Limits table_limits(const LlamaConfig& config, const LanguageModelOptions& options);
/// The fields that do not depend on the backend.
LanguageModelInfo model_info(const LlamaConfig& config, const LanguageModelOptions& options);

}  // namespace lyre

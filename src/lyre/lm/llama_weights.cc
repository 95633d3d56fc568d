#include "lyre/lm/llama_weights.h"

#include <string>
#include <utility>

namespace lyre {
namespace {

// The weight table and, in the same order, where each tensor goes.
struct Table {
  std::vector<WeightSpec> specs;
  std::vector<TensorView*> targets;

  void add(std::string name, Shape shape, TensorView& target) {
    specs.push_back({std::move(name), shape});
    targets.push_back(&target);
  }
};

// Names of a Hugging Face LlamaForCausalLM state dict.
Table weight_table(LlamaWeights& weights) {
  const LlamaConfig& c = weights.config;
  const int64_t hidden = c.hidden, queries = c.query_rows(), kv = c.kv_rows(), ffn = c.ffn;
  Table table;
  table.add("model.embed_tokens.weight", {c.vocabulary, hidden}, weights.embedding);
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    LlamaLayerWeights& layer = weights.layers[l];
    const std::string prefix = "model.layers." + std::to_string(l) + ".";
    table.add(prefix + "input_layernorm.weight", {hidden}, layer.input_norm);
    table.add(prefix + "self_attn.q_proj.weight", {queries, hidden}, layer.query);
    table.add(prefix + "self_attn.k_proj.weight", {kv, hidden}, layer.key);
    table.add(prefix + "self_attn.v_proj.weight", {kv, hidden}, layer.value);
    table.add(prefix + "self_attn.o_proj.weight", {hidden, queries}, layer.attention_output);
    table.add(prefix + "post_attention_layernorm.weight", {hidden}, layer.post_attention_norm);
    table.add(prefix + "mlp.gate_proj.weight", {ffn, hidden}, layer.gate);
    table.add(prefix + "mlp.up_proj.weight", {ffn, hidden}, layer.up);
    table.add(prefix + "mlp.down_proj.weight", {hidden, ffn}, layer.down);
  }
  table.add("model.norm.weight", {hidden}, weights.final_norm);
  if (!c.tied_embeddings) {
    table.add("lm_head.weight", {c.vocabulary, hidden}, weights.output);
  }
  return table;
}

// Sums `measure` over all tensors, a shared one once.
template <class Measure>
int64_t sum_tensors(const LlamaWeights& weights, Measure measure) {
  int64_t sum = measure(weights.embedding) + measure(weights.final_norm);
  if (!weights.config.tied_embeddings) sum += measure(weights.output);
  for (const LlamaLayerWeights& layer : weights.layers) {
    for (const TensorView* view :
         {&layer.input_norm, &layer.query, &layer.key, &layer.value, &layer.attention_output,
          &layer.post_attention_norm, &layer.gate, &layer.up, &layer.down}) {
      sum += measure(*view);
    }
  }
  return sum;
}

}  // namespace

int64_t LlamaWeights::parameters() const noexcept {
  return sum_tensors(*this, [](const TensorView& view) { return view.shape.elements(); });
}

int64_t LlamaWeights::size_bytes() const noexcept {
  return sum_tensors(*this, [](const TensorView& view) { return view.size_bytes(); });
}

Result<LlamaWeights> open_llama_weights(const std::filesystem::path& folder) {
  LlamaWeights weights;
  LYRE_ASSIGN_OR_RETURN(weights.config, read_llama_config(folder));
  LYRE_ASSIGN_OR_RETURN(weights.archive, open_safetensors_folder(folder));
  weights.layers.resize(static_cast<size_t>(weights.config.layers));
  const Table table = weight_table(weights);
  static constexpr DType kDTypes[] = {DType::kBF16, DType::kF16, DType::kF32};
  LYRE_ASSIGN_OR_RETURN(const std::vector<TensorView> views,
                        read_weights(weights.archive, table.specs, kDTypes));
  for (size_t i = 0; i < views.size(); ++i) *table.targets[i] = views[i];
  if (weights.config.tied_embeddings) weights.output = weights.embedding;
  return weights;
}

}  // namespace lyre

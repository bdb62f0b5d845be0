/* The field's words, one line each. */
window.SDPOTerms = {
  "teacher lift": "Pass rate of attempts that the self-teacher writes itself, against the student's: what an update could teach at most.",
  cost: "Tokens that the update reads under both prompts, over all its steps; the time is taken from the last update.",
  loss: "Mean divergence of the student from the self-teacher over the tokens that count; before the step and after it, on the same tokens.",
  "sign agreement": "Share of the tokens above the noise floor that moved in the direction that the gradient predicted.",
  "rank correlation": "Spearman's rho between the predicted push and the realised change of the log-probability: 1 is the same order.",
  "KL to before": "How far the step moved the policy on fixed probe tokens: KL(before ‖ after).",
  "KL to base": "How far the policy is from where it began, on fixed probe tokens: KL(base ‖ now).",
  entropy: "Spread of the next-token distribution on fixed probe tokens; near 0 all attempts are alike and nothing is left to learn from.",
  "gradient norm": "Length of the gradient before it is clipped to max_grad_norm.",
  length: "Mean number of tokens of the attempts that the update used.",
  "held-out": "Pass rate on tasks of the same house that no update ever saw, one attempt each, with its 95 % Wilson interval.",
  "teacher's average": "How far the averaged teacher's adapter is from the true average of the policies, at most.",
  "adapter distance": "Frobenius norm of the difference of the two adapters' effect on the weights, relative to the larger of the two effects.",
  credit: "log q(token | feedback) − log π(token): how much likelier the self-teacher finds a token than the student did.",
  "noise floor": "Largest credit that appears where there is nothing to credit; below it a token is grey.",
};
